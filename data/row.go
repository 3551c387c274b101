package data

import "errors"

// LazyRow makes a [Row] of a query that runs when Scan is called, so that a Row nobody scans holds no connection. It is
// for the authors of drivers. Rows beyond the first are ignored.
func LazyRow(query func() (Rows, error)) Row { return lazyRow(query) }

type lazyRow func() (Rows, error)

func (query lazyRow) Scan(dest ...any) error {
	rows, err := query()
	if err != nil {
		return err
	}
	if !rows.Next() {
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		return ErrNoRows
	}
	if err := rows.Scan(dest...); err != nil {
		_ = rows.Close()
		return err
	}
	return rows.Close() // for a statement that writes, this is where a failed commit shows
}
