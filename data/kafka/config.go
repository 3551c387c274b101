package kafka

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
)

// Config says how to reach the brokers. It is shared by [NewClient] and [ConsumerConfig].
type Config struct {
	// Brokers are the seed brokers as "host:port". Required.
	Brokers []string
	// ClientID names this process in the brokers' logs, quotas and metrics. Default "mmf".
	ClientID string
	// Prefix is put before every topic and group name, so that several environments or tests can share a cluster. It never
	// shows in [Received.Topic]. Default none.
	Prefix string
	// TLS turns on encryption with this configuration. TLS 1.2 is the least that is accepted. Default: plain text.
	TLS *tls.Config
	// SASL are the ways to authenticate, in order of preference. Default none.
	SASL []sasl.Mechanism
	// DialTimeout bounds one connection attempt. Default 5 s.
	DialTimeout time.Duration
	// RequestTimeout is how long an answer of a broker may be late before the connection is given up. Default 10 s.
	RequestTimeout time.Duration
	// DeliveryTimeout bounds the sending of one message, retries included; after it the message counts as failed for now
	// although the broker may have it. Default 15 s.
	DeliveryTimeout time.Duration
	// Options are appended to the client's own options and win over them: logging, metrics and tracing plugins, other
	// partitioners, what this struct does not cover. Turning off idempotence or acknowledgements voids what the package promises.
	Options []kgo.Opt
}

func (c Config) withDefaults() Config {
	if c.ClientID == "" {
		c.ClientID = "mmf"
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = 5 * time.Second
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = 10 * time.Second
	}
	if c.DeliveryTimeout == 0 {
		c.DeliveryTimeout = 15 * time.Second
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("kafka: Brokers is empty: name at least one broker as host:port"))
	}
	seen := make(map[string]bool, len(c.Brokers))
	for _, b := range c.Brokers {
		if err := validateBroker(b); err != nil {
			errs = append(errs, err)
		}
		if seen[b] {
			errs = append(errs, fmt.Errorf("kafka: broker %q is listed twice", b))
		}
		seen[b] = true
	}
	if c.Prefix != "" && validateName("Prefix", c.Prefix) != nil {
		errs = append(errs, validateName("Prefix", c.Prefix))
	}
	if c.TLS != nil && c.TLS.MaxVersion != 0 && c.TLS.MaxVersion < tls.VersionTLS12 {
		errs = append(errs, errors.New("kafka: TLS.MaxVersion forbids TLS 1.2: that is the least that is accepted"))
	}
	for name, d := range map[string]time.Duration{
		"DialTimeout": c.DialTimeout, "RequestTimeout": c.RequestTimeout, "DeliveryTimeout": c.DeliveryTimeout,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("kafka: %s is %v: it must not be negative", name, d))
		}
	}
	if c.DeliveryTimeout > 0 && c.DeliveryTimeout < time.Second {
		errs = append(errs, fmt.Errorf("kafka: DeliveryTimeout is %v: it must be at least 1s", c.DeliveryTimeout))
	}
	return errors.Join(errs...)
}

func validateBroker(b string) error {
	host, port, err := net.SplitHostPort(b)
	if err != nil {
		return fmt.Errorf("kafka: broker %q is not host:port: %w", b, err)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
		return fmt.Errorf("kafka: broker %q is not host:port with a port of 1 to 65535", b)
	}
	return nil
}

// validateName checks a topic, group or prefix against what brokers accept as a topic's name.
func validateName(what, name string) error {
	if name == "" || len(name) > 249 || name == "." || name == ".." {
		return fmt.Errorf("kafka: %s %q is not a valid name: it must have 1 to 249 characters", what, name)
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("kafka: %s %q is not a valid name: only letters, digits, '.', '_' and '-' are allowed", what, name)
		}
	}
	return nil
}

// options are what producers and consumers have in common.
func (c Config) options() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(c.ClientID),
		kgo.SoftwareNameAndVersion("mmf", "1"),
		kgo.DialTimeout(c.DialTimeout),
		kgo.RequestTimeoutOverhead(c.RequestTimeout),
		kgo.RetryTimeout(30 * time.Second),
		// A moved partition is found by asking for metadata again. The library waits 5 s between two questions, so three
		// moves in a row would stop a producer for 15 s.
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.DisableClientMetrics(),
	}
	if c.TLS != nil {
		tlsConfig := c.TLS.Clone()
		tlsConfig.MinVersion = max(tlsConfig.MinVersion, tls.VersionTLS12)
		opts = append(opts, kgo.DialTLSConfig(tlsConfig))
	}
	if len(c.SASL) > 0 {
		opts = append(opts, kgo.SASL(c.SASL...))
	}
	return opts
}

// producerOptions are idempotent sends, acknowledged by all in-sync replicas, bounded in time. A bounded send may have
// reached the broker: repeating it makes a duplicate, which the event's id uncovers. An unbounded one would hold the relay, and every
// other aggregate with it, for as long as one broker is away.
func (c Config) producerOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordDeliveryTimeout(c.DeliveryTimeout),
		kgo.AllowIdempotentProduceCancellation(),
		kgo.ProduceRequestTimeout(c.RequestTimeout),
		kgo.ProducerLinger(0),
		kgo.UnknownTopicRetries(8),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // the hash that other languages' clients use by default
	}
}
