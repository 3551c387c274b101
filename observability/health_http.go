package observability

import (
	"encoding/json"
	"net/http"
	"time"
)

// LivenessHandler answers 200 as long as the process can answer at all. It looks at no dependency on purpose: restarting
// this process would not heal another.
func (h *Health) LivenessHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeHealth(w, r, http.StatusOK, healthBody{Status: "alive"})
	})
}

// ReadinessHandler answers 200 when the service may be sent requests and 503 when not, with each check's name and status
// but no error text: it is for the public listener.
func (h *Health) ReadinessHandler() http.Handler { return h.readiness(false) }

// DetailHandler is [Health.ReadinessHandler] with error texts, masked, and times: it is for the admin listener.
func (h *Health) DetailHandler() http.Handler { return h.readiness(true) }

type healthBody struct {
	Status HealthStatus  `json:"status"`
	Checks []healthCheck `json:"checks,omitempty"`
}

type healthCheck struct {
	Name      string      `json:"name"`
	Status    CheckStatus `json:"status"`
	Critical  bool        `json:"critical"`
	Error     string      `json:"error,omitempty"`
	TookMS    *float64    `json:"took_ms,omitempty"`
	CheckedAt *time.Time  `json:"checked_at,omitempty"`
}

func (h *Health) readiness(detail bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, results := h.Status()
		body := healthBody{Status: status}
		for _, c := range results {
			hc := healthCheck{Name: c.Name, Status: c.Status, Critical: !c.Optional}
			if detail && c.Status != CheckPending {
				took, at := float64(c.Took.Microseconds())/1000, c.At.UTC()
				hc.TookMS, hc.CheckedAt = &took, &at
				if c.Err != nil {
					hc.Error = oneLine(MaskText(c.Err.Error()), 512)
				}
			}
			body.Checks = append(body.Checks, hc)
		}
		code := http.StatusServiceUnavailable
		if status == HealthReady || status == HealthDegraded {
			code = http.StatusOK
		}
		writeHealth(w, r, code, body)
	})
}

func writeHealth(w http.ResponseWriter, r *http.Request, code int, body healthBody) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the caller went away: nothing to tell anybody
}
