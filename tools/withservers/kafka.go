package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"text/template"
	"time"
)

//go:embed kafka.pom.xml
var kafkaPOM []byte

//go:embed kafka.properties
var kafkaProperties string

var kafkaVersion = string(regexp.MustCompile(`<kafka\.version>(.*)</kafka\.version>`).FindSubmatch(kafkaPOM)[1])

// kafkaFolder is where the broker's jars are kept between runs: outside the tree, one folder per version.
func kafkaFolder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "mmf", "kafka-"+kafkaVersion), nil
}

func kafkaCached() bool {
	folder, err := kafkaFolder()
	return err == nil && exists(folder)
}

// fetchKafka has Maven resolve the broker and its run-time dependencies. The folder appears complete or not at all, so
// that two runs at once, or one that is killed, leave nothing half there.
func fetchKafka(ctx context.Context, l *lab) (string, error) {
	folder, err := kafkaFolder()
	if err != nil || exists(folder) {
		return folder, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.limit(4*time.Minute))
	defer cancel()
	if err := os.MkdirAll(filepath.Dir(folder), 0o755); err != nil {
		return "", err
	}
	partial, err := os.MkdirTemp(filepath.Dir(folder), "kafka-partial-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(partial)
	pom := filepath.Join(l.dir, "kafka.pom.xml")
	if err := os.WriteFile(pom, kafkaPOM, 0o644); err != nil {
		return "", err
	}
	// The plugin's whole name spares Maven a search through the descriptors of a dozen others.
	mvn := exec.CommandContext(ctx, "mvn", "-B", "-q", "-Dstyle.color=never", "-f", pom,
		"org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+partial)
	if out, err := mvn.CombinedOutput(); err != nil {
		first, _, _ := bytes.Cut(bytes.TrimSpace(out), []byte("\n")) // the rest is advice on Maven's switches
		return "", fmt.Errorf("its jars could not be fetched: mvn: %w: %s", err, first)
	}
	if err := os.Rename(partial, folder); err != nil && !exists(folder) {
		return "", err
	}
	return folder, nil
}

func startKafka(ctx context.Context, l *lab) (*server, error) {
	jars, err := fetchKafka(ctx, l)
	if err != nil {
		return nil, err
	}
	dir, err := l.folder("kafka")
	if err != nil {
		return nil, err
	}
	port, err1 := freePort()
	controller, err2 := freePort()
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	properties := filepath.Join(dir, "server.properties")
	if err := writeProperties(properties, map[string]any{"Port": port, "Controller": controller, "Data": filepath.Join(dir, "data")}); err != nil {
		return nil, err
	}
	// Serial collection and the quick compiler only: a broker for tests should start fast and leave the second core alone.
	java := func(ctx context.Context, class string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "java", append([]string{
			"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
			"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", filepath.Join(jars, "*"), class,
		}, args...)...)
		cmd.Dir = dir
		return cmd
	}
	// The id names this cluster in its own log folder only.
	if out, err := java(ctx, "kafka.tools.StorageTool", "format", "-t", "bW1mLXRlc3QtY2x1c3Rlcg", "-c", properties).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format the log folder (Java 17 or newer is needed): %w\n%s", err, tailBytes(out))
	}
	p, err := l.serve(java(context.Background(), "kafka.Kafka", properties), filepath.Join(l.dir, "kafka.log"), syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	if err := until(ctx, l.limit(60*time.Second), p, askKafka(address)); err != nil {
		return nil, err
	}
	return &server{
		version: kafkaVersion,
		how:     "KRaft, one node, jars in " + jars,
		env:     map[string]string{"MMF_TEST_KAFKA_BROKERS": address},
	}, nil
}

func writeProperties(path string, values map[string]any) error {
	parsed, err := template.New("kafka.properties").Parse(kafkaProperties)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := parsed.Execute(&text, values); err != nil {
		return err
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}

// askKafka sends an ApiVersions request, the one that every client begins with: the broker answers it when it has
// joined its controller, while it accepts connections before that.
func askKafka(address string) func(ctx context.Context) error {
	request := []byte{0, 0, 0, 10 /* size */, 0, 18 /* ApiVersions */, 0, 0 /* version */, 0, 0, 0, 1 /* correlation */, 255, 255 /* no client id */}
	return func(ctx context.Context) error {
		conn, err := dial(ctx, address)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write(request); err != nil {
			return err
		}
		var head [10]byte // size, correlation, error code
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		if code := binary.BigEndian.Uint16(head[8:]); code != 0 {
			return fmt.Errorf("it answers with error code %d", code)
		}
		return nil
	}
}

func tailBytes(b []byte) []byte { return b[max(0, len(b)-1500):] }
