package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Client publishes, creates topics and reports readiness. It is safe for concurrent use.
type Client struct {
	cfg        Config
	client     *kgo.Client
	alone      *kgo.Client   // sends one record at a time, for those that were refused in company
	aloneToken chan struct{} // whoever holds the token uses alone
}

// NewClient validates cfg and prepares a client; the first use connects. Close it when it is no longer needed. The error joins
// everything that is wrong with cfg.
func NewClient(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	opts := append(cfg.options(), cfg.producerOptions()...)
	opts = append(opts, cfg.Options...)
	c := &Client{cfg: cfg, aloneToken: make(chan struct{}, 1)}
	for _, client := range []**kgo.Client{&c.client, &c.alone} {
		var err error
		if *client, err = kgo.NewClient(opts...); err != nil {
			if c.client != nil {
				c.client.Close()
			}
			return nil, fmt.Errorf("kafka: set up the client: %w", err)
		}
	}
	return c, nil
}

// Ping asks any broker for an answer, for readiness checks. It returns nil as soon as one answers.
func (c *Client) Ping(ctx context.Context) error {
	if err := c.client.Ping(ctx); err != nil {
		return fmt.Errorf("kafka: no broker of %v answers: %w", c.cfg.Brokers, err)
	}
	return nil
}

// Native returns the library's own client for what this package does not cover. Topic names given to it need the
// [Config.Prefix].
func (c *Client) Native() *kgo.Client { return c.client }

// Close sends what is still buffered as long as ctx allows, then closes every connection. A message that was not sent
// by then has failed: its call of [Client.Publish] says so. Close is called once, last.
func (c *Client) Close(ctx context.Context) error {
	err := c.client.Flush(ctx)
	c.client.Close()
	c.alone.Close()
	if err != nil && !errors.Is(err, kgo.ErrClientClosed) {
		return fmt.Errorf("kafka: close with unsent messages: %w", err)
	}
	return nil
}
