package sqlstore

import (
	"github.com/marty-framework/mmf/data"
)

// reserver is a database that opens further connections beside its pool; datapg.DB does.
type reserver interface {
	Reserve(conns int, settings map[string]string) (data.DB, error)
}

const (
	// beatConns suffice for beats alone, which must never wait.
	beatConns = 1
	// workConns are for the writer, claims, the intake and the listener.
	workConns = 4
)

// reserve opens connections for the engine's own work where the database can: transactional steps may hold every
// connection of the pool, and the journal they wait for must go on being written, the lease being prolonged. Without them
// the pool is used for everything.
//
// On these connections plans never scan a whole table that has an index: the tables around the journal may be empty when
// a plan is made and hold a million rows before the next analyze.
func (s *Store) reserve() error {
	r, ok := s.db.(reserver)
	if !ok {
		return nil
	}
	settings := map[string]string{"enable_seqscan": "off", "jit": "off"}
	work, err := r.Reserve(workConns, settings)
	if err != nil {
		return err
	}
	beats, err := r.Reserve(beatConns, settings)
	if err != nil {
		return err
	}
	s.work, s.beats = work, beats
	return nil
}
