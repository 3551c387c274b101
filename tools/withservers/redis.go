package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func startRedis(ctx context.Context, l *lab) (*server, error) {
	dir, err := l.folder("redis")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	cmd := exec.Command("redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "",
		"--appendonly", "no", "--dir", dir, "--daemonize", "no")
	cmd.Dir = dir
	p, err := l.serve(cmd, filepath.Join(l.dir, "redis.log"), syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	if err := until(ctx, l.limit(20*time.Second), p, pingRedis(address)); err != nil {
		return nil, err
	}
	return &server{
		version: programVersion(ctx, cmd.Path, "--version"),
		how:     cmd.Path,
		env:     map[string]string{"MMF_TEST_REDIS_ADDR": address},
	}, nil
}

// pingRedis asks for PONG: a server that still loads accepts connections too.
func pingRedis(address string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		conn, err := dial(ctx, address)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("PING\r\n")); err != nil {
			return err
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			return err
		}
		if strings.TrimSpace(line) != "+PONG" {
			return fmt.Errorf("it answers PING with %q", line)
		}
		return nil
	}
}

// dial connects with a deadline of two seconds for everything that follows.
func dial(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(2 * time.Second))
}
