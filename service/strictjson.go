package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep a body may nest. Nobody writes deeper by hand, and recursion in decoders costs stack.
const maxDepth = 64

func badRequest(detail string, fields ...FieldError) *Problem {
	return &Problem{Status: http.StatusBadRequest, Detail: detail, Errors: fields}
}

// decodeBody reads one JSON value strictly. Errors are problems, http.MaxBytesError or the connection's.
func decodeBody(r *http.Request, into any) error {
	if !isJSON(r.Header.Get("Content-Type")) {
		return &Problem{Status: http.StatusUnsupportedMediaType, Detail: "The body must be sent as application/json."}
	}
	if r.Body == nil {
		return badRequest("The body is empty.")
	}
	body, err := io.ReadAll(r.Body) // bounded by the route's MaxBody
	if err != nil {
		return readError(err)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return badRequest("The body is empty.")
	}
	if !utf8.Valid(body) {
		return badRequest("The body is not valid UTF-8.")
	}
	if err := checkMembers(body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return decodeError(err)
	}
	if kind := reflect.TypeOf(into).Elem().Kind(); kind == reflect.Struct && bytes.Equal(bytes.TrimSpace(body), []byte("null")) {
		return badRequest("The body must be an object, not null.")
	}
	return nil
}

func isJSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	return media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")
}

func readError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Problem{Status: http.StatusRequestTimeout, Detail: "The body did not arrive in time.", Retryable: true, Cause: err}
	default:
		return badRequest("The body could not be read to its end.").WithCause(err)
	}
}

// checkMembers finds what encoding/json lets pass: a member that is repeated in one object (also when only case differs,
// which encoding/json takes for the same field), depth, and data behind the value.
func checkMembers(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	type object struct {
		seen map[string]struct{} // nil in an array
		key  string              // the member whose value comes next, "" when a key does
	}
	var stack []object
	for {
		token, err := dec.Token()
		if err != nil {
			return decodeError(err)
		}
		top := len(stack) - 1
		if key, ok := token.(string); ok && top >= 0 && stack[top].seen != nil && stack[top].key == "" {
			folded := strings.ToLower(key)
			if _, twice := stack[top].seen[folded]; twice {
				return badRequest("The body has a member twice.", FieldError{Field: truncate(key, 128), Message: "is given more than once"})
			}
			stack[top].seen[folded] = struct{}{}
			stack[top].key = key + "\x00" // never empty, also for the key ""
			continue
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, object{seen: map[string]struct{}{}})
		case json.Delim('['):
			stack = append(stack, object{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
		}
		if len(stack) > maxDepth {
			return badRequest(fmt.Sprintf("The body nests deeper than %d levels.", maxDepth))
		}
		opened := token == json.Delim('{') || token == json.Delim('[')
		if n := len(stack); n > 0 && !opened {
			stack[n-1].key = "" // a value is complete
		}
		if len(stack) == 0 {
			break
		}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badRequest("There is data behind the JSON value.")
	}
	return nil
}

// decodeError says what is wrong without naming Go types.
func decodeError(err error) error {
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest("The body ends in the middle of the JSON value.")
	case errors.As(err, &syntax):
		return badRequest(fmt.Sprintf("The body is not valid JSON near byte %d.", syntax.Offset))
	case errors.As(err, &wrongType):
		field := wrongType.Field
		if field == "" {
			field = "(body)"
		}
		got, _, _ := strings.Cut(wrongType.Value, " ")
		return badRequest("A part of the body has the wrong type.",
			FieldError{Field: truncate(field, 128), Message: fmt.Sprintf("must be %s, is %s", jsonKind(wrongType.Type), got)})
	}
	// encoding/json has no type for this error; the wording has been the same since Go 1.10, and a test watches it.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return badRequest("The body has a member that is not known here.",
			FieldError{Field: truncate(strings.Trim(name, `"`), 128), Message: "is not known"})
	}
	return badRequest("The body does not have the expected form.").WithCause(err)
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number of %d bits", t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number of %d bits, not negative", t.Bits())
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "of another type"
	}
}
