package datasqlite

import "database/sql"

// rows adds to *sql.Rows that the end of reading, by whichever way, happens once: release gives back the statement,
// done ends what the rows were read in and may report a further error (that of an implicit transaction's commit).
type rows struct {
	*sql.Rows
	release func()
	done    func(error) error
	closed  bool
	err     error
}

func (r *rows) Next() bool {
	if !r.closed && r.Rows.Next() {
		return true
	}
	_ = r.Close()
	return false
}

func (r *rows) Scan(dest ...any) error { return r.Rows.Scan(dest...) }

func (r *rows) Err() error {
	if r.closed {
		return r.err
	}
	return classify(r.Rows.Err())
}

// Close ends the reading. It may be called repeatedly.
func (r *rows) Close() error {
	if r.closed {
		return r.err
	}
	r.closed = true
	if r.err = classify(r.Rows.Err()); r.err == nil {
		r.err = classify(r.Rows.Close())
	} else {
		_ = r.Rows.Close()
	}
	r.release()
	if r.done != nil {
		r.err = r.done(r.err)
	}
	return r.err
}
