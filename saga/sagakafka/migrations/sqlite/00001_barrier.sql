-- One row per step of a saga that this participant has heard of, in either direction. noted_at is microseconds since 1970.
-- state: done (the effect is here), rejected (refused, no effect), undone (compensated), barred (the compensation came first).

-- +goose Up
create table mmf_saga_barrier (
    participant text   not null,
    step_key    text   not null,
    state       text   not null,
    result      blob,
    reason      text   not null default '',
    noted_at    bigint not null default (cast(unixepoch('subsec') * 1000000 as integer)),
    primary key (participant, step_key)
);
create index mmf_saga_barrier_noted on mmf_saga_barrier (noted_at);

-- +goose Down
drop table mmf_saga_barrier;
