-- One set for both engines: text, bigint and checks mean the same on each. Times are microseconds since 1970, money is cents.

-- +goose Up
create table pets (
    id          text   not null primary key,
    name        text   not null,
    category    text   not null,
    price_cents bigint not null check (price_cents > 0),
    currency    text   not null,
    status      text   not null check (status in ('available', 'reserved', 'sold')),
    order_id    text,
    version     bigint not null default 1,
    updated_at  bigint not null default 0,
    check ((status = 'available') = (order_id is null))
);
create index pets_by_category on pets (category, id);
create unique index pets_by_order on pets (order_id);

insert into pets (id, name, category, price_cents, currency, status) values
    ('golden-retriever-001', 'Buddy', 'dog', 120000, 'USD', 'available'),
    ('persian-cat-002', 'Princess', 'cat', 80000, 'USD', 'available'),
    ('cockatiel-003', 'Sunny', 'bird', 30000, 'USD', 'available'),
    ('goldfish-004', 'Bubbles', 'fish', 2500, 'USD', 'available'),
    ('bearded-dragon-005', 'Spike', 'reptile', 15000, 'USD', 'available');

-- +goose Down
drop table pets;
