-- Times are microseconds since 1970. Entries of one posting sum to zero; entries are never changed.

-- +goose Up
create table payments (
    order_id       text   not null primary key,
    id             text   not null unique,
    customer_id    text   not null,
    amount_cents   bigint not null check (amount_cents > 0),
    currency       text   not null,
    payment_method text   not null,
    status         text   not null check (status in ('charged', 'declined', 'refunded', 'voided')),
    reason         text   not null,
    charge_key     text   not null unique,
    charge_id      text   not null,
    refund_id      text   not null,
    created_at     bigint not null,
    updated_at     bigint not null
);

create table ledger_entries (
    posting      text   not null,
    line         bigint not null,
    order_id     text   not null,
    account      text   not null check (account in ('at_gateway', 'customers')),
    amount_cents bigint not null check (amount_cents <> 0),
    currency     text   not null,
    created_at   bigint not null,
    primary key (posting, line)
);
create index ledger_entries_order on ledger_entries (order_id);

-- +goose StatementBegin
create trigger ledger_entries_no_update before update on ledger_entries
begin select raise(abort, 'the ledger is append-only: correct it by another posting'); end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger ledger_entries_no_delete before delete on ledger_entries
begin select raise(abort, 'the ledger is append-only: correct it by another posting'); end;
-- +goose StatementEnd

-- +goose Down
drop table ledger_entries;
drop table payments;
