package datapg

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/marty-framework/mmf/data"
)

// classify turns an error of pgx into a [data.Error]. lost says that the connection is gone; autocommit that the
// statement would have committed by itself. Errors of the caller's context and of the arguments pass through.
//
// pgconn.SafeToRetry is not asked: in pgx 5.12 it also says yes when the connection closed while a reply to a statement
// without arguments, COMMIT among them, was awaited.
func classify(ctx context.Context, err error, lost, autocommit bool) error {
	if err == nil {
		return nil
	}
	var classified *data.Error
	if errors.As(err, &classified) {
		return err
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		e := &data.Error{Kind: kind(server.Code), Code: server.Code, Constraint: server.ConstraintName, Err: err}
		// A session that is ended after it committed may still say so in place of the reply.
		if autocommit && (server.Severity == "FATAL" || server.Severity == "PANIC") {
			e.Kind = data.KindUnknown
		}
		return e
	}
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &connect):
		if ctx.Err() != nil {
			return fmt.Errorf("datapg: %w", err)
		}
		return &data.Error{Kind: data.KindUnavailable, Code: "08000", Err: err}
	case lost && autocommit:
		return &data.Error{Kind: data.KindUnknown, Code: "08007", Err: err}
	case lost && ctx.Err() == nil:
		return &data.Error{Kind: data.KindUnavailable, Code: "08006", Err: err}
	}
	return fmt.Errorf("datapg: %w", err)
}

// kind follows appendix A of the PostgreSQL manual: the full code first, then its class.
func kind(code string) data.Kind {
	switch code {
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return data.KindConflict
	case "40003", "08007": // statement_completion_unknown, transaction_resolution_unknown
		return data.KindUnknown
	case "23505":
		return data.KindUnique
	case "40002":
		return data.KindConstraint
	case "55P03", "57014", "25P04": // lock_not_available, query_canceled, transaction_timeout
		return data.KindTimeout
	case "53100":
		return data.KindFull
	case "25006", "25P03", // read_only_sql_transaction, idle_in_transaction_session_timeout
		"57P01", "57P02", "57P03", "57P05", // admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout
		"58030": // io_error
		return data.KindUnavailable
	}
	if len(code) != 5 {
		return data.KindOther
	}
	switch code[:2] {
	case "23":
		return data.KindConstraint
	case "08", "53": // connection exception, insufficient resources
		return data.KindUnavailable
	default:
		return data.KindOther
	}
}
