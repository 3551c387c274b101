package saga

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// recordBody is the stored form, which EncodeRecord writes by hand because that is most of what a record costs: short names,
// times as microseconds.
type recordBody struct {
	At      int64           `json:"t"`
	Node    string          `json:"n,omitempty"`
	Undo    bool            `json:"u,omitempty"`
	Attempt int             `json:"a,omitempty"`
	Due     int64           `json:"d,omitempty"`
	Payload json.RawMessage `json:"p,omitempty"`
	Sealed  []byte          `json:"z,omitempty"`
	Reason  string          `json:"r,omitempty"`
	Actor   string          `json:"by,omitempty"`
	Name    string          `json:"s,omitempty"`
	Dedupe  string          `json:"k,omitempty"`
	Taken   bool            `json:"y,omitempty"`
	End     Outcome         `json:"e,omitempty"`
	recordRest
}

// recordRest are the parts that few records have.
type recordRest struct {
	Open []string          `json:"o,omitempty"`
	Meta map[string]string `json:"m,omitempty"`
}

// EncodeRecord appends the body of a record to dst, as a store keeps it; Seq and Kind have columns of their own. A payload
// that is no JSON is an error.
func EncodeRecord(dst []byte, r Record) ([]byte, error) {
	if len(r.Payload) > 0 && r.value == nil && !json.Valid(r.Payload) {
		return dst, fmt.Errorf("saga: the payload of record %d (%s) is no JSON", r.Seq, r.Kind)
	}
	dst = append(dst, `{"t":`...)
	dst = strconv.AppendInt(dst, micros(r.At), 10)
	dst = appendString(dst, "n", r.Node)
	if r.Undo {
		dst = append(dst, `,"u":true`...)
	}
	dst = appendInt(dst, "a", int64(r.Attempt))
	dst = appendInt(dst, "d", micros(r.Due))
	if len(r.Payload) > 0 {
		dst = append(append(dst, `,"p":`...), r.Payload...)
	}
	if len(r.Sealed) > 0 {
		dst = base64.StdEncoding.AppendEncode(append(dst, `,"z":"`...), r.Sealed)
		dst = append(dst, '"')
	}
	dst = appendString(dst, "r", r.Reason)
	dst = appendString(dst, "by", r.Actor)
	dst = appendString(dst, "s", r.Name)
	dst = appendString(dst, "k", r.Dedupe)
	if r.Taken {
		dst = append(dst, `,"y":true`...)
	}
	dst = appendString(dst, "e", string(r.End))
	if len(r.Open) == 0 && len(r.Meta) == 0 {
		return append(dst, '}'), nil
	}
	rest, err := json.Marshal(recordRest{r.Open, r.Meta})
	if err != nil {
		return dst, fmt.Errorf("saga: record %d does not encode: %w", r.Seq, err)
	}
	return append(append(dst, ','), rest[1:]...), nil
}

func appendInt(dst []byte, name string, v int64) []byte {
	if v == 0 {
		return dst
	}
	return strconv.AppendInt(append(append(append(dst, `,"`...), name...), `":`...), v, 10)
}

func appendString(dst []byte, name, v string) []byte {
	if v == "" {
		return dst
	}
	dst = append(append(append(dst, `,"`...), name...), `":`...)
	for i := range len(v) {
		if c := v[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(v) // strings always encode
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), v...), '"')
}

// DecodeRecord reads what [EncodeRecord] wrote.
func DecodeRecord(seq int64, kind RecordKind, body []byte) (Record, error) {
	var b recordBody
	if err := json.Unmarshal(body, &b); err != nil {
		return Record{}, fmt.Errorf("saga: journal record %d is damaged: %w", seq, err)
	}
	return Record{
		Seq: seq, Kind: kind, At: fromMicros(b.At), Node: b.Node, Undo: b.Undo, Attempt: b.Attempt, Due: fromMicros(b.Due), Payload: b.Payload,
		Sealed: b.Sealed, Reason: b.Reason, Actor: b.Actor, Name: b.Name, Dedupe: b.Dedupe, Taken: b.Taken, Open: b.Open, Meta: b.Meta, End: b.End,
	}, nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
