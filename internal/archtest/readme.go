package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A region of a Markdown file is generated and stands between two comments:
//
//	<!-- begin: budgets -->
//	…
//	<!-- end: budgets -->
//
// A Go block of README.md follows a comment that names the compiled code it shows:
//
//	<!-- code: examples/readme/policy_test.go#policy -->
//
// and that file marks it with // readme:begin policy and // readme:end policy, each on a line of its own.
var codeBlock = regexp.MustCompile("(?ms)^(<!-- code: (\\S+)#(\\S+) -->\n)?(```go\n)(.*?)^```$")

func region(name string) (begin, end string) {
	return "<!-- begin: " + name + " -->\n", "<!-- end: " + name + " -->"
}

// ReadRegion returns the generated region of a Markdown file.
func ReadRegion(path, name string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	begin, end := region(name)
	_, rest, found := strings.Cut(string(text), begin)
	body, _, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("%s has no region between %q and %q", path, strings.TrimSpace(begin), end)
	}
	return body, nil
}

// WriteRegion replaces the generated region of a Markdown file.
func WriteRegion(path, name, body string) error {
	old, err := ReadRegion(path, name)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	begin, end := region(name)
	return os.WriteFile(path, []byte(strings.Replace(string(text), begin+old+end, begin+body+end, 1)), 0o644)
}

// SyncCode returns the Markdown text with each Go block replaced by the code it names, read below root, and what is wrong:
// blocks that name nothing, or nothing that exists.
func SyncCode(text, root string) (string, []string) {
	var problems []string
	synced := codeBlock.ReplaceAllStringFunc(text, func(block string) string {
		m := codeBlock.FindStringSubmatch(block)
		marker, file, name, fence, code := m[1], m[2], m[3], m[4], m[5]
		if marker == "" {
			first, _, _ := strings.Cut(code, "\n")
			problems = append(problems, fmt.Sprintf("the Go block that begins with %q names no compiled code", first))
			return block
		}
		want, err := codeRegion(filepath.Join(root, filepath.FromSlash(file)), name)
		if err != nil {
			problems = append(problems, err.Error())
			return block
		}
		return marker + fence + want + "```"
	})
	return synced, problems
}

// codeRegion reads marked lines of a Go file, with their common indentation removed.
func codeRegion(path, name string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var lines []string
	inside, closed := false, false
	for line := range strings.Lines(string(text)) {
		switch strings.TrimSpace(line) {
		case "// readme:begin " + name:
			inside = true
		case "// readme:end " + name:
			closed = inside
			inside = false
		default:
			if inside {
				lines = append(lines, line)
			}
		}
	}
	if !closed || len(lines) == 0 {
		return "", fmt.Errorf("%s has no lines between %q and %q", path, "// readme:begin "+name, "// readme:end "+name)
	}
	return strings.Trim(strings.Join(dedent(lines), ""), "\n") + "\n", nil
}

func dedent(lines []string) []string {
	common := -1
	for _, line := range lines {
		if strings.TrimSpace(line) != "" {
			if tabs := len(line) - len(strings.TrimLeft(line, "\t")); common < 0 || tabs < common {
				common = tabs
			}
		}
	}
	for i, line := range lines {
		lines[i] = line[min(max(common, 0), len(line)-len(strings.TrimLeft(line, "\t"))):]
	}
	return lines
}
