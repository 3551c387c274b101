package service

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
)

// RouteInfo is one row of the route table as JSON.
type RouteInfo struct {
	Pattern   string `json:"pattern"`
	Operation string `json:"operation"`
	Summary   string `json:"summary,omitempty"`
	Policy    string `json:"policy"`
	Limit     string `json:"limit,omitempty"`
	Timeout   string `json:"timeout"`
	MaxBody   int64  `json:"max_body"`
	Owner     string `json:"owner,omitempty"`
}

func infoOf(r Route) RouteInfo {
	info := RouteInfo{
		Pattern: r.Pattern, Operation: r.Operation, Summary: r.Summary, Policy: r.Policy.String(), Limit: r.Limit,
		Timeout: r.Timeout.String(), MaxBody: r.MaxBody, Owner: r.Owner,
	}
	if r.Timeout == NoTimeout {
		info.Timeout = "none"
	}
	return info
}

// WriteRoutes writes the route table as text: what each route demands, at a glance.
func (s *Service) WriteRoutes(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "ROUTE\tOPERATION\tPOLICY\tLIMIT\tTIMEOUT\tMAX BODY\tOWNER") // errors surface in Flush
	for _, r := range s.Routes() {
		i := infoOf(r)
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n",
			i.Pattern, i.Operation, i.Policy, dash(i.Limit), i.Timeout, i.MaxBody, dash(i.Owner))
	}
	return tw.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// serveRoutes answers /routes: text, or JSON for who asks for it.
func (s *Service) serveRoutes(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "application/json") || r.URL.Query().Get("format") == "json" {
		routes := s.Routes()
		infos := make([]RouteInfo, len(routes))
		for i, route := range routes {
			infos[i] = infoOf(route)
		}
		WriteJSON(w, r, http.StatusOK, infos)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_ = s.WriteRoutes(w) // the caller went away
}
