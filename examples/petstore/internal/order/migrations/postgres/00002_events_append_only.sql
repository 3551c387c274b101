-- What happened stays as it was written: an order changes by another event.

-- +goose Up
-- +goose StatementBegin
create function order_events_append_only() returns trigger language plpgsql as $$
begin
    raise exception 'order_events is append-only: change an order by another event' using errcode = 'restrict_violation';
end $$;
-- +goose StatementEnd
create trigger order_events_append_only before update or delete on order_events
    for each row execute function order_events_append_only();
create trigger order_events_no_truncate before truncate on order_events
    for each statement execute function order_events_append_only();

-- +goose Down
drop trigger order_events_no_truncate on order_events;
drop trigger order_events_append_only on order_events;
drop function order_events_append_only();
