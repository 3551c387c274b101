package observability

import (
	"errors"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// DurationBuckets are histogram boundaries in seconds for work that takes from a millisecond to ten seconds. The slice is
// the caller's.
func DurationBuckets() []float64 {
	return []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2.5, 5, 10}
}

func newMeterProvider(cfg Config, res *resource.Resource) (*prometheus.Registry, *sdkmetric.MeterProvider, error) {
	reg := prometheus.NewRegistry()
	exporter, err := otelprom.New(otelprom.WithRegisterer(reg), otelprom.WithoutScopeInfo())
	if err != nil {
		return nil, nil, err
	}
	if !cfg.DisableRuntimeMetrics {
		err = errors.Join(
			reg.Register(collectors.NewGoCollector()),
			reg.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		)
		if err != nil {
			return nil, nil, err
		}
	}
	opts := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(exporter), sdkmetric.WithView(boundedLabels)}
	for _, r := range cfg.MetricReaders {
		opts = append(opts, sdkmetric.WithReader(r))
	}
	return reg, sdkmetric.NewMeterProvider(opts...), nil
}

// callerChosen are attributes whose values come from whoever calls: as labels they let a stranger create time series
// without end.
var callerChosen = []attribute.Key{
	"server.address", "server.port", "client.address", "client.port", "network.peer.address", "network.peer.port",
	"url.full", "url.path", "url.query", "http.host", "http.target", "http.url", "user_agent.original",
	"http.client_ip", "net.host.name", "net.host.port", "net.peer.name", "net.peer.port", "net.sock.peer.addr",
	"correlation_id", "causation_id", "trace_id", "span_id", "principal", "enduser.id", "user.id",
}

// boundedLabels is the view on every instrument. A client's instruments keep the server's name: there it is this
// service that chooses whom to call.
func boundedLabels(inst sdkmetric.Instrument) (sdkmetric.Stream, bool) {
	drop := callerChosen
	if strings.HasPrefix(inst.Name, "http.client.") {
		drop = callerChosen[2:]
	}
	return sdkmetric.Stream{
		Name: inst.Name, Description: inst.Description, Unit: inst.Unit,
		AttributeFilter: attribute.NewDenyKeysFilter(drop...),
	}, true
}

func metricsHandler(reg *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		// A collector that fails must not take every other metric with it.
		ErrorHandling: promhttp.ContinueOnError,
	})
}

// instruments are those that this package records itself.
type instruments struct {
	serverDuration metric.Float64Histogram
	serverActive   metric.Int64UpDownCounter
	clientDuration metric.Float64Histogram
	operation      metric.Float64Histogram
}

func newInstruments(m metric.Meter) (instruments, error) {
	var i instruments
	var errs [4]error
	buckets := metric.WithExplicitBucketBoundaries(DurationBuckets()...)
	i.serverDuration, errs[0] = m.Float64Histogram("http.server.request.duration", metric.WithUnit("s"), buckets,
		metric.WithDescription("Duration of HTTP requests that were served."))
	i.serverActive, errs[1] = m.Int64UpDownCounter("http.server.active_requests", metric.WithUnit("{request}"),
		metric.WithDescription("HTTP requests being served."))
	i.clientDuration, errs[2] = m.Float64Histogram("http.client.request.duration", metric.WithUnit("s"), buckets,
		metric.WithDescription("Duration of HTTP requests that were sent, until the reply's header."))
	i.operation, errs[3] = m.Float64Histogram("mmf.operation.duration", metric.WithUnit("s"), buckets,
		metric.WithDescription("Duration of named operations."))
	return i, errors.Join(errs[:]...)
}
