package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits on a file, beside its size: nodes are counted after the expansion of aliases, so that a few lines cannot become gigabytes.
const (
	maxNodes = 100_000
	maxDepth = 64
)

// parseYAML reads one file into a tree; nil when there are problems.
func parseYAML(name string, data []byte, found *problems) *node {
	whole := Origin{Kind: OriginFile, Name: name}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		found.add(whole, "", "the file is empty; write {} if it shall say nothing")
		return nil
	} else if err != nil {
		found.add(syntaxError(whole, err))
		return nil
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		found.add(Origin{Kind: OriginFile, Name: name, Line: second.Line}, "", "a second document is not allowed")
		return nil
	} else if !errors.Is(err, io.EOF) {
		found.add(syntaxError(whole, err))
		return nil
	}
	if len(document.Content) != 1 {
		found.add(whole, "", "the file is empty; write {} if it shall say nothing")
		return nil
	}
	before := len(*found)
	c := &converter{file: name, found: found}
	root := c.convert(document.Content[0], "", 0)
	switch {
	case len(*found) > before:
		return nil
	case root.kind == nullNode:
		found.add(whole, "", "the file is empty; write {} if it shall say nothing")
		return nil
	case root.kind != mapNode:
		found.add(root.at, "", "the file must hold keys and values, not %s", root.describe())
		return nil
	}
	return root
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?line (\d+): `)

// syntaxError moves the line out of the library's text.
func syntaxError(at Origin, err error) (Origin, string, string, any) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if line, convErr := strconv.Atoi(m[1]); convErr == nil {
			at.Line = line
		}
		text = text[len(m[0]):]
	}
	return at, "", "not valid YAML: %s", text
}

type converter struct {
	file  string
	found *problems
	nodes int
	full  bool
}

func (c *converter) convert(y *yaml.Node, key string, depth int) *node {
	at := Origin{Kind: OriginFile, Name: c.file, Line: y.Line}
	out := &node{at: at}
	if c.nodes++; c.nodes > maxNodes || depth > maxDepth {
		if !c.full {
			c.full = true
			c.found.add(at, "", "more than %d values, or nested deeper than %d, with aliases expanded", maxNodes, maxDepth)
		}
		return out
	}
	switch y.Kind {
	case yaml.AliasNode:
		return c.convert(y.Alias, key, depth+1)
	case yaml.ScalarNode:
		switch tag := y.ShortTag(); tag {
		case "!!null":
		case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
			out.kind, out.text, out.tag = scalarNode, y.Value, tag
		default:
			c.found.add(at, key, "the tag %s is not allowed", tag)
		}
	case yaml.SequenceNode:
		out.kind = listNode
		for i, item := range y.Content {
			if c.full {
				return out
			}
			out.items = append(out.items, c.convert(item, fmt.Sprintf("%s[%d]", key, i), depth+1))
		}
	case yaml.MappingNode:
		out.kind, out.children = mapNode, map[string]*node{}
		c.mapping(y, out, key, depth)
	default:
		c.found.add(at, key, "is nothing that YAML knows")
	}
	return out
}

func (c *converter) mapping(y *yaml.Node, out *node, key string, depth int) {
	lines := map[string]int{}
	for i := 0; i+1 < len(y.Content) && !c.full; i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		at := Origin{Kind: OriginFile, Name: c.file, Line: k.Line}
		switch {
		case k.ShortTag() == "!!merge":
			c.found.add(at, key, "merge keys (<<) are not allowed; name the keys")
			continue
		case k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null":
			c.found.add(at, key, "a key must be a word")
			continue
		}
		path := join(key, k.Value)
		if line, ok := lines[k.Value]; ok {
			c.found.add(at, path, "the key is here twice; first on line %d", line)
			continue
		}
		lines[k.Value] = k.Line
		child := c.convert(v, path, depth+1)
		if child.kind == mapNode || child.kind == listNode {
			child.at.Line = k.Line // a section is where its key is
		}
		out.set(k.Value, child)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// describe names a node's kind for a person.
func (n *node) describe() string {
	switch n.kind {
	case nullNode:
		return "nothing"
	case listNode:
		return "a list"
	case mapNode:
		return "a section with keys"
	default:
		names := map[string]string{"!!int": "a number", "!!float": "a number", "!!bool": "true or false", "!!timestamp": "a date"}
		if name, ok := names[n.tag]; ok {
			return name
		}
		return "a text"
	}
}
