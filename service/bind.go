package service

import (
	"encoding"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// bindPlan says where each field of an In comes from. It is made once per handler.
type bindPlan struct {
	params  []param
	hasBody bool
}

type param struct {
	source string // path, query or header
	name   string
	index  []int
}

func planFor[In any]() (*bindPlan, error) {
	t := reflect.TypeFor[In]()
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		return &bindPlan{hasBody: true}, nil
	}
	plan := &bindPlan{}
	var problems []error
	for _, f := range reflect.VisibleFields(t) {
		source, name := paramTag(f)
		switch {
		case source == "":
			if len(f.Index) == 1 && (f.IsExported() || f.Anonymous) && f.Tag.Get("json") != "-" && !onlyParams(f) {
				plan.hasBody = true
			}
		case !f.IsExported():
			problems = append(problems, fmt.Errorf("field %s of %s has a %s tag and is not exported", f.Name, t, source))
		case f.Tag.Get("json") != "-":
			problems = append(problems, fmt.Errorf("field %s of %s has a %s tag and needs `json:\"-\"` too, or the body could set it",
				f.Name, t, source))
		case !settable(f.Type):
			problems = append(problems, fmt.Errorf("field %s of %s: a parameter cannot be a %s", f.Name, t, f.Type))
		default:
			plan.params = append(plan.params, param{source: source, name: name, index: f.Index})
		}
	}
	return plan, errors.Join(problems...)
}

func paramTag(f reflect.StructField) (source, name string) {
	for _, source := range [...]string{"path", "query", "header"} {
		if name := f.Tag.Get(source); name != "" {
			return source, name
		}
	}
	return "", ""
}

// onlyParams reports whether an embedded struct holds parameters and nothing of the body.
func onlyParams(f reflect.StructField) bool {
	if !f.Anonymous || f.Type.Kind() != reflect.Struct {
		return false
	}
	for i := range f.Type.NumField() {
		inner := f.Type.Field(i)
		if source, _ := paramTag(inner); source == "" && inner.IsExported() && inner.Tag.Get("json") != "-" {
			return false
		}
	}
	return true
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

func settable(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(textUnmarshaler) {
		return true
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return t.Elem().Kind() != reflect.Pointer && t.Elem().Kind() != reflect.Slice && settable(t.Elem())
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		return true
	default:
		return false
	}
}

// check finds what does not fit the pattern.
func (p *bindPlan) check(pattern string) error {
	var problems []error
	for _, f := range p.params {
		if f.source == "path" && !strings.Contains(pattern, "{"+f.name+"}") && !strings.Contains(pattern, "{"+f.name+"...}") {
			problems = append(problems, fmt.Errorf("the function given to JSON wants the path value %q, which the pattern lacks", f.name))
		}
	}
	method, _, _ := strings.Cut(pattern, " ")
	if p.hasBody && (method == http.MethodGet || method == http.MethodHead) {
		problems = append(problems, fmt.Errorf(
			"the function given to JSON wants a body, which %s has not: tag its fields with path, query or header, or with `json:\"-\"`", method))
	}
	return errors.Join(problems...)
}

// decode fills in. Errors are problems that name every parameter that is wrong.
func (p *bindPlan) decode(r *http.Request, in any) error {
	if p.hasBody {
		if err := decodeBody(r, in); err != nil {
			return err
		}
	}
	v := reflect.ValueOf(in).Elem()
	var wrong []FieldError
	query := r.URL.Query()
	for _, f := range p.params {
		var values []string
		switch f.source {
		case "path":
			values = []string{r.PathValue(f.name)}
		case "query":
			values = query[f.name]
		case "header":
			values = r.Header.Values(f.name)
		}
		if len(values) == 0 {
			continue
		}
		if msg := setParam(v.FieldByIndex(f.index), values); msg != "" {
			wrong = append(wrong, FieldError{Field: f.name, Message: msg})
		}
	}
	if len(wrong) > 0 {
		return &Problem{Status: http.StatusBadRequest, Detail: "The request's parameters are not valid.", Errors: wrong}
	}
	return validate(in)
}

// validate calls a Validate method of the value or of a pointer to it; in is a pointer.
func validate(in any) error {
	v, ok := in.(interface{ Validate() error })
	if !ok {
		return nil
	}
	err := v.Validate()
	var p *Problem
	if err == nil || errors.As(err, &p) {
		return err
	}
	return &Problem{Status: http.StatusUnprocessableEntity, Detail: err.Error(), Cause: err}
}

func setParam(v reflect.Value, values []string) string {
	switch {
	case v.Kind() == reflect.Slice && !v.Addr().Type().Implements(textUnmarshaler):
		out := reflect.MakeSlice(v.Type(), len(values), len(values))
		for i, s := range values {
			if msg := setScalar(out.Index(i), s); msg != "" {
				return msg
			}
		}
		v.Set(out)
		return ""
	case len(values) > 1:
		return "is given more than once"
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return setScalar(v.Elem(), values[0])
	default:
		return setScalar(v, values[0])
	}
}

func setScalar(v reflect.Value, s string) string {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if u.UnmarshalText([]byte(s)) != nil {
			return "is not in the expected form"
		}
		return ""
	}
	bits := 0
	if v.Kind() >= reflect.Int && v.Kind() <= reflect.Float64 {
		bits = v.Type().Bits()
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
		return ""
	case reflect.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return "must be true or false"
		}
		v.SetBool(b)
		return ""
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, bits)
		if err != nil {
			return "must be a whole number"
		}
		v.SetInt(n)
		return ""
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(s, 10, bits)
		if err != nil {
			return "must be a whole number, not negative"
		}
		v.SetUint(n)
		return ""
	default:
		n, err := strconv.ParseFloat(s, bits)
		if err != nil {
			return "must be a number"
		}
		v.SetFloat(n)
		return ""
	}
}
