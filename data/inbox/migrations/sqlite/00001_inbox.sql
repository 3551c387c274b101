-- One row per event that a consumer has handled; handled_at is microseconds since 1970.

-- +goose Up
create table mmf_inbox (
    consumer   text   not null,
    event_id   text   not null,
    handled_at bigint not null default (cast(unixepoch('subsec') * 1000000 as integer)),
    primary key (consumer, event_id)
);
create index mmf_inbox_handled on mmf_inbox (handled_at);

-- +goose Down
drop table mmf_inbox;
