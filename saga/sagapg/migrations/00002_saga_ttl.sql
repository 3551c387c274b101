-- +goose Up
-- How long after its last beat a node counts as dead, in microseconds. Null: a node of a version that did not tell it.
alter table saga_beat add column ttl bigint;

-- +goose Down
alter table saga_beat drop column ttl;
