package sagaotel

import (
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// labelKey is what a set of labels is made of; unused parts are empty. All of them come from definitions, so there are few.
type labelKey struct{ saga, step, direction, kind, outcome, status, promise string }

// label is a set of labels in the forms in which instruments and spans take it, made once.
type label struct {
	add    []metric.AddOption
	record []metric.RecordOption
	set    metric.MeasurementOption
	span   []attribute.KeyValue
}

// labels remembers all sets in a map that is replaced, never changed, so that looking one up takes no lock.
type labels struct {
	mu  sync.Mutex
	all atomic.Pointer[map[labelKey]*label]
}

func (l *labels) get(k labelKey) *label {
	if m := l.all.Load(); m != nil {
		if found := (*m)[k]; found != nil {
			return found
		}
	}
	return l.make(k)
}

func (l *labels) make(k labelKey) *label {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := map[labelKey]*label{}
	if m := l.all.Load(); m != nil {
		if found := (*m)[k]; found != nil {
			return found
		}
		for k, v := range *m {
			next[k] = v
		}
	}
	var attrs, spanAttrs []attribute.KeyValue
	for _, a := range []struct{ key, value string }{
		{"saga", k.saga},
		{"step", k.step},
		{"direction", k.direction},
		{"kind", k.kind},
		{"outcome", k.outcome},
		{"status", k.status},
		{"promise", k.promise},
	} {
		if a.value == "" {
			continue
		}
		attrs = append(attrs, attribute.String(a.key, a.value))
		key := "saga." + a.key
		if a.key == "saga" {
			key = "saga.name"
		}
		spanAttrs = append(spanAttrs, attribute.String(key, a.value))
	}
	set := metric.WithAttributeSet(attribute.NewSet(attrs...))
	made := &label{
		add: []metric.AddOption{set}, record: []metric.RecordOption{set}, set: set, span: spanAttrs,
	}
	next[k] = made
	l.all.Store(&next)
	return made
}
