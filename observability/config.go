package observability

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap/zapcore"
)

// Config says whose telemetry it is and where it goes. Only Service is required.
type Config struct {
	// Service is the name of the service on every line, span and in target_info. Required.
	Service string
	// Version is the service's version. Default "dev".
	Version string
	// Environment is the deployment environment, such as "production". Default "development".
	Environment string
	// LogLevel is the lowest level that is written: debug, info, warn or error. Default info. It can be changed at run
	// time: see [Telemetry.SetLogLevel].
	LogLevel string
	// LogWriter receives one JSON object per line. Writes are serialised. Default os.Stderr.
	LogWriter io.Writer
	// SensitiveKeys are further field names whose values are masked, compared without regard to case, "_" and "-".
	SensitiveKeys []string
	// DisableMasking writes log fields as they are. For a debugger's desk only; it is logged at start.
	DisableMasking bool
	// TraceRatio is the share of traces begun here that are recorded, above 0 to 1. Default 1. A trace begun by a caller
	// whose traceparent is trusted follows the caller's decision.
	TraceRatio float64
	// DisableTracing records no span at all; ids still travel.
	DisableTracing bool
	// SpanExporters receive finished spans in batches. Telemetry shuts them down. Default none.
	SpanExporters []sdktrace.SpanExporter
	// SpanProcessors see every span as it starts and ends, in order. Telemetry shuts them down. Default none.
	SpanProcessors []sdktrace.SpanProcessor
	// MetricReaders read the metrics besides the Prometheus registry, for example to push them. Telemetry shuts them
	// down. Default none.
	MetricReaders []sdkmetric.Reader
	// DisableRuntimeMetrics leaves out the go_* and process_* metrics, for the second and further Telemetry of a process.
	DisableRuntimeMetrics bool
}

func (c Config) withDefaults() Config {
	if c.Version == "" {
		c.Version = "dev"
	}
	if c.Environment == "" {
		c.Environment = "development"
	}
	if c.LogLevel == "" {
		c.LogLevel = "info"
	}
	if c.LogWriter == nil {
		c.LogWriter = os.Stderr
	}
	if c.TraceRatio == 0 {
		c.TraceRatio = 1
	}
	return c
}

func (c Config) validate() error {
	var problems []error
	if strings.TrimSpace(c.Service) == "" {
		problems = append(problems, errors.New("observability: Service is empty: name the service, for example \"catalog\""))
	}
	if _, err := parseLevel(c.LogLevel); err != nil {
		problems = append(problems, err)
	}
	if err := validRatio(c.TraceRatio); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func parseLevel(s string) (zapcore.Level, error) {
	switch strings.ToLower(s) {
	case "debug":
		return zapcore.DebugLevel, nil
	case "info":
		return zapcore.InfoLevel, nil
	case "warn":
		return zapcore.WarnLevel, nil
	case "error":
		return zapcore.ErrorLevel, nil
	default:
		return 0, fmt.Errorf("observability: log level %.40q is unknown: use debug, info, warn or error", s)
	}
}

func validRatio(r float64) error {
	if !(r >= 0 && r <= 1) {
		return fmt.Errorf("observability: trace ratio %v is outside 0 to 1", r)
	}
	return nil
}
