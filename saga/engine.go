package saga

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/marty-framework/mmf/data"
	"github.com/marty-framework/mmf/internal/correlation"
)

// Engine runs sagas. [Engine.Run] works until its context ends; starting, signalling and asking also work without it, in a
// process that is only a client. It is safe for concurrent use.
type Engine struct {
	cfg     Config
	store   Store
	journal sealing           // the store, for what holds payloads
	defs    map[string]*shape // by name@version
	infos   []DefInfo

	queues map[string]*Queue // by the kind of their lane
	rooms  []DefInfo         // lanes that are no definition's

	schedules map[string]*Schedule // by the kind of their lane

	mu       sync.Mutex
	running  bool
	worker   *worker // nil while the engine owns nothing
	watchers map[UID][]chan ending
	waiting  map[UID]struct{} // sagas for whose end other processes wait
	calls    *calls

	registerMu sync.Mutex
	known      bool // definitions are registered in the store
}

// New checks the definitions and makes an engine. It does not touch the store. The error joins every problem of the
// configuration and of all definitions.
func New(cfg Config, store Store, defs ...Definition) (*Engine, error) {
	cfg = cfg.withDefaults()
	e := &Engine{cfg: cfg, store: store, defs: map[string]*shape{}, watchers: map[UID][]chan ending{}, calls: &calls{}}
	e.journal = sealing{e}
	var errs []error
	if err := cfg.validate(); err != nil {
		errs = append(errs, fmt.Errorf("saga: config: %w", err))
	}
	if store == nil {
		errs = append(errs, errors.New("saga: the store is nil"))
	}
	e.calls.to, _ = store.(Caller)
	for _, d := range defs {
		if d == nil {
			errs = append(errs, errors.New("saga: a definition is nil"))
			continue
		}
		s := d.compiled()
		errs = append(errs, s.err, e.add(s))
	}
	errs = append(errs, e.addQueues(), e.addSchedules())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Engine) add(s *shape) error {
	if _, twice := e.defs[s.kind()]; twice {
		return fmt.Errorf("saga: definition %q version %d is registered twice", s.name, s.version)
	}
	for _, n := range s.nodes {
		if n.publishes && e.cfg.Publish == nil {
			return fmt.Errorf("saga: definition %q: node %q: %w", s.name, n.name, errNoPublisher)
		}
	}
	if s.guarded && e.cfg.Codec == nil {
		return fmt.Errorf("saga: definition %q: %w", s.name, errNoCodec)
	}
	e.defs[s.kind()] = s
	e.infos = append(e.infos, DefInfo{Kind: s.kind(), Fingerprint: s.fingerprint})
	return nil
}

// Register makes the store know the definitions; an error matches [ErrShapeChanged] when one changed without a new version.
// Run and Start do it by themselves; a process that only uses [Def.StartTx] calls it once, before.
func (e *Engine) Register(ctx context.Context) error {
	e.registerMu.Lock()
	defer e.registerMu.Unlock()
	if e.known {
		return nil
	}
	if err := e.store.Register(ctx, slices.Concat(e.infos, e.rooms)); err != nil {
		return err
	}
	e.known = true
	return nil
}

// Run works for sagas until ctx ends, then stops in order: no new attempts, running ones get [Config.Grace], lanes are
// handed over. It returns nil after such a stop, and can be called again. A definition that the store refuses is an error;
// losing the lease, or a database that does not answer, then or later, does not end it.
func (e *Engine) Run(ctx context.Context) error {
	e.mu.Lock()
	if e.running {
		e.mu.Unlock()
		return errors.New("saga: the engine is already running")
	}
	e.running = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.running = false
		e.mu.Unlock()
	}()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, e.cfg.TTL/2) {
		began := time.Now()
		err := e.Register(ctx)
		if err != nil && ctx.Err() == nil && !mayPass(err) {
			return err
		}
		if err == nil {
			err = e.incarnate(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		e.fail(ctx, err)
		if time.Since(began) > e.cfg.TTL {
			pause = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// mayPass reports whether an error of the store says something about the database's state and nothing about this program.
func mayPass(err error) bool {
	return data.Retryable(err) || errors.Is(err, data.ErrOutcomeUnknown) || data.KindOf(err) == data.KindFull
}

func (e *Engine) registered() bool {
	e.registerMu.Lock()
	defer e.registerMu.Unlock()
	return e.known
}

// Running reports whether this engine holds a lease and works for sagas, for readiness.
func (e *Engine) Running() bool { return e.current() != nil }

func (e *Engine) current() *worker {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.worker
}

func (e *Engine) kinds() []string {
	kinds := make([]string, 0, len(e.infos)+len(e.rooms))
	for _, i := range slices.Concat(e.infos, e.rooms) {
		kinds = append(kinds, i.Kind)
	}
	return kinds
}

func (e *Engine) fail(ctx context.Context, err error) {
	if err != nil && e.cfg.Hooks.Failed != nil {
		e.cfg.Hooks.Failed(ctx, err)
	}
}

const metaCorrelation = "correlation-id"

// metaOf captures what ties the saga to whoever started it.
func (e *Engine) metaOf(ctx context.Context) map[string]string {
	meta := map[string]string{}
	if e.cfg.Inject != nil {
		e.cfg.Inject(ctx, meta)
	}
	if c := correlation.From(ctx).Correlation; c != "" {
		meta[metaCorrelation] = c
	}
	if len(meta) == 0 {
		return nil
	}
	return meta
}

// contextOf restores the saga's correlation and trace; causation is the saga's own id.
func (e *Engine) contextOf(ctx context.Context, m *machine) context.Context {
	ctx = correlation.With(ctx, correlation.IDs{Correlation: m.meta[metaCorrelation], Causation: string(m.id)})
	if e.cfg.Extract != nil && len(m.meta) > 0 {
		ctx = e.cfg.Extract(ctx, m.meta)
	}
	return ctx
}

// ending is what a watcher learns.
type ending struct {
	state any
	err   error
	again bool // only that it may have ended: look
}

func (e *Engine) watch(uid UID) chan ending {
	ch := make(chan ending, 2)
	e.mu.Lock()
	e.watchers[uid] = append(e.watchers[uid], ch)
	e.mu.Unlock()
	return ch
}

func (e *Engine) unwatch(uid UID, ch chan ending) {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.watchers[uid]
	for i, c := range list {
		if c == ch {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(e.watchers, uid)
		return
	}
	e.watchers[uid] = list
}

func (e *Engine) tell(uid UID, end ending) {
	e.mu.Lock()
	list := e.watchers[uid]
	delete(e.watchers, uid)
	_, waiting := e.waiting[uid]
	delete(e.waiting, uid)
	e.mu.Unlock()
	if waiting {
		e.calls.say(wordEnded + uid.String())
	}
	for _, ch := range list {
		ch <- end
	}
}
