-- Times are microseconds since 1970. status: captured, declined, refunded, voided.

-- +goose Up
create table gateway_charges (
    charge_key     text   not null primary key,
    id             text   not null unique,
    status         text   not null check (status in ('captured', 'declined', 'refunded', 'voided')),
    reason         text   not null,
    amount_cents   bigint not null,
    currency       text   not null,
    payment_method text   not null,
    reference      text   not null,
    refund_id      text   not null,
    attempts       bigint not null,
    created_at     bigint not null,
    updated_at     bigint not null
);
create index gateway_charges_reference on gateway_charges (reference);

-- +goose Down
drop table gateway_charges;
