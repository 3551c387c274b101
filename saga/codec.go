package saga

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Codec keeps the payloads of what is sensitive from those who read the database; sagacodec.Ring encrypts them. It is used
// for nothing else. It must be safe for concurrent use.
type Codec interface {
	// Encode turns a payload into what is stored. It must bind the result to what it is about.
	Encode(plain []byte, about PayloadInfo) ([]byte, error)
	// Decode is the reverse; it must refuse what was encoded for something else. A saga of which a payload is refused is left
	// alone as [ErrUnreadable] until it is not; it changes no other.
	Decode(stored []byte, about PayloadInfo) ([]byte, error)
}

// PayloadInfo says what a payload is about: the place in which it stands, and no other.
type PayloadInfo struct {
	Saga string // the definition's name@version; empty for mail
	UID  UID    // of the saga
	Seq  int64  // of the record; 0 for mail
	Kind string // of the record or of the mail: started, done, signalled, signal, reply
	Step string // or the signal's name, or the key of a reply
}

// Payloads are JSON. One that is long or sensitive is stored in a sealed form instead:
//
//	sealed: codecMark, what the Codec made of a body | plainMark, a body
//	body:   rawMark, the payload | flateMark, its length as uvarint, the payload deflated
//
// The marks inside are encrypted with the payload, so nobody can exchange them.
const (
	plainMark byte = 'p'
	codecMark byte = 'c'
	rawMark   byte = 'r'
	flateMark byte = 'f'
)

// compressAbove is the length from which a payload is compressed: below, compressing costs more than the bytes it saves.
const compressAbove = 1500

// maxInflated bounds what a stored payload may claim to become, whatever MaxPayload was when it was written.
const maxInflated = 1 << 30

// seal gives the sealed form of a payload, nil when it is to stand as it is.
func seal(c Codec, sensitive bool, payload []byte, about PayloadInfo) ([]byte, error) {
	if len(payload) == 0 || !sensitive && len(payload) <= compressAbove {
		return nil, nil
	}
	var body []byte
	if len(payload) > compressAbove {
		body = deflate(payload)
	}
	if !sensitive {
		if body == nil {
			return nil, nil
		}
		return append([]byte{plainMark}, body...), nil
	}
	if c == nil {
		return nil, errNoCodec
	}
	if body == nil {
		body = append([]byte{rawMark}, payload...)
	}
	coded, err := c.Encode(body, about)
	if err != nil {
		return nil, fmt.Errorf("saga: encode the payload of %s %q: %w", about.Kind, about.Step, err)
	}
	return append([]byte{codecMark}, coded...), nil
}

// unseal gives the payload of a sealed form.
func unseal(c Codec, sealed []byte, about PayloadInfo) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, errSealDamaged
	}
	body := sealed[1:]
	switch sealed[0] {
	case plainMark:
	case codecMark:
		if c == nil {
			return nil, errNoCodec
		}
		var err error
		if body, err = c.Decode(body, about); err != nil {
			return nil, fmt.Errorf("decode the payload of %s %q: %w", about.Kind, about.Step, err)
		}
	default:
		return nil, errSealDamaged
	}
	if len(body) == 0 {
		return nil, errSealDamaged
	}
	switch body[0] {
	case rawMark:
		return body[1:], nil
	case flateMark:
		return inflate(body[1:])
	default:
		return nil, errSealDamaged
	}
}

var errSealDamaged = errors.New("the sealed payload is damaged")

var deflaters = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.BestSpeed) // fails for unknown levels only
	return w
}}

// deflate gives the body of a compressed payload, nil when that saves less than a fifth.
func deflate(payload []byte) []byte {
	var out bytes.Buffer
	out.Grow(len(payload) / 2)
	out.WriteByte(flateMark)
	var size [binary.MaxVarintLen64]byte
	out.Write(size[:binary.PutUvarint(size[:], uint64(len(payload)))])
	w, _ := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&out)
	_, err := w.Write(payload)
	if err = errors.Join(err, w.Close()); err != nil || out.Len() > len(payload)*4/5 {
		return nil
	}
	return out.Bytes()
}

func inflate(body []byte) ([]byte, error) {
	size, n := binary.Uvarint(body)
	if n <= 0 || size > maxInflated {
		return nil, errSealDamaged
	}
	r := flate.NewReader(bytes.NewReader(body[n:]))
	defer func() { _ = r.Close() }()
	out, err := io.ReadAll(io.LimitReader(r, int64(size)+1)) // grows with what is really there, not with what is claimed
	if err != nil || uint64(len(out)) != size {
		return nil, errSealDamaged
	}
	return out, nil
}

// mailMark begins the text of a sealed payload in the mailbox; no JSON does.
const mailMark = '~'

func sealMail(c Codec, m Mail) (Mail, error) {
	sealed, err := seal(c, m.sensitive, m.Payload, m.about())
	if err == nil && sealed == nil && len(m.Payload) > 0 && m.Payload[0] == mailMark {
		sealed = append([]byte{plainMark, rawMark}, m.Payload...) // no JSON, whatever it is; it must not be taken for sealed
	}
	if err != nil || sealed == nil {
		return m, err
	}
	m.Payload = base64.StdEncoding.AppendEncode([]byte{mailMark}, sealed)
	return m, nil
}

// unsealMail opens mail in place; what fails stands in its err, since other mail is none the worse.
func unsealMail(c Codec, mail []Mail) {
	for i := range mail {
		m := &mail[i]
		if len(m.Payload) == 0 || m.Payload[0] != mailMark {
			continue
		}
		sealed, err := base64.StdEncoding.AppendDecode(nil, m.Payload[1:])
		if err == nil {
			m.Payload, err = unseal(c, sealed, m.about())
		}
		if err != nil {
			m.Payload, m.err = nil, fmt.Errorf("%w: mail: %w", ErrUnreadable, err)
		}
	}
}

func (m Mail) about() PayloadInfo {
	return PayloadInfo{UID: m.Saga, Kind: string(m.Kind), Step: m.Name}
}

func (r Record) about(ref Ref) PayloadInfo {
	step := r.Node
	if r.Kind == Signalled {
		step = r.Name
	}
	return PayloadInfo{Saga: ref.Kind, UID: ref.UID, Seq: r.Seq, Kind: r.Kind.String(), Step: step}
}
