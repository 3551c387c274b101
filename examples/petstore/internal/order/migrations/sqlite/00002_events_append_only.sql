-- What happened stays as it was written: an order changes by another event.

-- +goose Up
-- +goose StatementBegin
create trigger order_events_no_update before update on order_events
begin select raise(abort, 'order_events is append-only: change an order by another event'); end;
-- +goose StatementEnd
-- +goose StatementBegin
create trigger order_events_no_delete before delete on order_events
begin select raise(abort, 'order_events is append-only: change an order by another event'); end;
-- +goose StatementEnd

-- +goose Down
drop trigger order_events_no_delete;
drop trigger order_events_no_update;
