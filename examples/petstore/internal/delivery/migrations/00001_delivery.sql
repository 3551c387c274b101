-- Times are microseconds since 1970, days are text as 2006-01-02 in UTC.

-- +goose Up
create table slots (
    day   text   not null primary key,
    taken bigint not null check (taken >= 0)
);

create table deliveries (
    order_id    text   not null primary key,
    id          text   not null unique,
    customer_id text   not null,
    pet_id      text   not null,
    priority    text   not null,
    day         text   not null references slots (day),
    status      text   not null check (status in ('scheduled', 'cancelled')),
    created_at  bigint not null,
    updated_at  bigint not null
);

-- +goose Down
drop table deliveries;
drop table slots;
