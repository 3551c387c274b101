-- +goose Up
-- When a live node was last known to run the definition, in microseconds of this database's clock.
alter table saga_def add column seen bigint not null default 0;
-- Parked because no process runs the saga's definition.
alter table saga_state add column stray boolean not null default false;
create index saga_state_stray on saga_state (uid) where stray;

-- +goose Down
drop index saga_state_stray;
alter table saga_state drop column stray;
alter table saga_def drop column seen;
