package datapg

import "github.com/jackc/pgx/v5"

// rows adds to pgx.Rows that the end of reading, by whichever way, happens once: done classifies the error, gives back
// what the rows were read from, and returns what Err and Close report.
type rows struct {
	pgx.Rows
	done   func(error) error
	closed bool
	// scanErr is an error of the destination, not of the statement: pgx reports both by Err.
	scanErr error
	err     error
}

func (r *rows) Next() bool {
	if !r.closed && r.Rows.Next() {
		return true
	}
	_ = r.Close()
	return false
}

func (r *rows) Scan(dest ...any) error {
	err := r.Rows.Scan(dest...)
	if r.scanErr == nil {
		r.scanErr = err
	}
	return err
}

func (r *rows) Err() error {
	if r.closed || r.scanErr != nil {
		return r.err
	}
	return r.Rows.Err()
}

// Close ends the reading. It may be called repeatedly.
func (r *rows) Close() error {
	if r.closed {
		return r.err
	}
	r.closed = true
	r.Rows.Close()
	err := r.Rows.Err()
	if r.scanErr != nil {
		err = nil
	}
	r.err = r.done(err)
	return r.err
}
