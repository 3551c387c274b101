-- Times are microseconds since 1970. state: 0 pending, 1 sent, 2 parked, 3 pending but not before retry_at.

-- +goose Up
create table mmf_outbox (
    seq          bigint generated always as identity primary key,
    id           text     not null unique,
    topic        text     not null,
    msg_key      text     not null,
    type         text     not null,
    source       text     not null,
    subject      text     not null,
    happened_at  bigint   not null,
    content_type text     not null,
    headers      text     not null,
    body         bytea   not null,
    written_at   bigint   not null default ((extract(epoch from clock_timestamp()) * 1000000)::bigint),
    state        smallint not null default 0,
    attempts     bigint   not null default 0,
    retry_at     bigint   not null default 0,
    sent_at      bigint,
    reason       text
);
create index mmf_outbox_unsent on mmf_outbox (seq) where state in (0, 3);
create index mmf_outbox_blocked on mmf_outbox (topic, msg_key, seq) where state in (2, 3);
create index mmf_outbox_sent on mmf_outbox (sent_at) where state = 1;

create table mmf_outbox_relay (
    name        text   not null primary key,
    owner       text   not null,
    epoch       bigint not null,
    lease_until bigint not null
);
insert into mmf_outbox_relay (name, owner, epoch, lease_until) values ('relay', '', 0, 0);

-- +goose Down
drop table mmf_outbox_relay;
drop table mmf_outbox;
