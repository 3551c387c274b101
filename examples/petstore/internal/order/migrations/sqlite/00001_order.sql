-- Times are microseconds since 1970, money is cents. orders is what order_events add up to.

-- +goose Up
create table orders (
    id                   text   not null primary key,
    customer_id          text   not null,
    pet_id               text   not null,
    payment_method       text   not null,
    priority             text   not null,
    special_instructions text   not null,
    state                text   not null check (state in ('placed', 'approved', 'cancelled')),
    pet_name             text   not null default '',
    amount_cents         bigint not null default 0,
    currency             text   not null default '',
    payment_id           text   not null default '',
    delivery_id          text   not null default '',
    delivery_slot        text   not null default '',
    version              bigint not null,
    created_at           bigint not null,
    updated_at           bigint not null
);
create index orders_by_customer on orders (customer_id, created_at);

create table order_events (
    order_id       text   not null,
    version        bigint not null,
    type           text   not null,
    data           text   not null,
    correlation_id text   not null,
    at             bigint not null,
    primary key (order_id, version)
);

-- +goose Down
drop table order_events;
drop table orders;
