package pgproxy

import (
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// session follows what a client prepares and whether it is inside a transaction.
type session struct {
	statements map[string]string // by name
	portals    map[string]string
	inTx       bool
	wrote      []string // in the transaction
}

// frontend learns from a message and returns the statements that it runs.
func (s *session) frontend(frame []byte) (run []string, err error) {
	if s.statements == nil {
		s.statements, s.portals = map[string]string{}, map[string]string{}
	}
	body := frame[5:]
	switch frame[0] {
	case 'P':
		var m pgproto3.Parse
		if err := m.Decode(body); err != nil {
			return nil, err
		}
		s.statements[m.Name] = m.Query
	case 'B':
		var m pgproto3.Bind
		if err := m.Decode(body); err != nil {
			return nil, err
		}
		s.portals[m.DestinationPortal] = s.statements[m.PreparedStatement]
	case 'E':
		var m pgproto3.Execute
		if err := m.Decode(body); err != nil {
			return nil, err
		}
		return []string{s.portals[m.Portal]}, nil
	case 'Q':
		var m pgproto3.Query
		if err := m.Decode(body); err != nil {
			return nil, err
		}
		return []string{m.String}, nil
	}
	return nil, nil
}

// begin foresees what a point does to the transaction: which writes it makes durable, and whether it ends one.
func (s *session) begin(sql []string) (durable []string, ends bool) {
	for _, q := range sql {
		switch word := firstWord(q); {
		case word == "begin", word == "start":
			s.inTx, s.wrote = true, nil
		case word == "commit", word == "end":
			durable, ends = append(durable, s.wrote...), s.inTx
			s.inTx, s.wrote = false, nil
		case word == "abort", word == "rollback" && !strings.Contains(strings.ToLower(q), " to "):
			s.inTx, s.wrote = false, nil
		case !writes(q):
		case s.inTx:
			s.wrote = append(s.wrote, q)
		default:
			durable = append(durable, q)
		}
	}
	return durable, ends
}

// ready corrects the foreseen by what the server says.
func (s *session) ready(status byte) {
	if s.inTx = status != 'I'; !s.inTx {
		s.wrote = nil
	}
}

func firstWord(sql string) string {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n;(")
		if !strings.HasPrefix(sql, "--") {
			break
		}
		_, sql, _ = strings.Cut(sql, "\n")
	}
	end := strings.IndexFunc(sql, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
	if end < 0 {
		end = len(sql)
	}
	return strings.ToLower(sql[:end])
}

var modifies = regexp.MustCompile(`(?i)\b(insert\s+into|delete\s+from|merge\s+into|update\s+\S+(\s+(as\s+)?\w+)?\s+set)\b`)

func writes(sql string) bool {
	switch firstWord(sql) {
	case "insert", "update", "delete", "merge", "create", "drop", "alter", "truncate", "copy", "comment", "grant", "do":
		return true
	case "with", "explain":
		return modifies.MatchString(sql)
	}
	return false
}
