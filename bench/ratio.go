package main

import "fmt"

// ratio compares MMF with a rival on the same database, at one level.
type ratio struct {
	Rival   string  `json:"rival"`
	Level   int     `json:"in_flight"`
	PerSaga float64 `json:"sagas_per_second"`
	Latency float64 `json:"median_latency"`
	CPU     float64 `json:"cpu_per_saga"` // of both sides; below 0: not known
	OwnName string  `json:"mmf"`
}

// compare fills in the ratios of medians. A contender with a failed round has none.
func (r *results) compare(all []contender) {
	r.Ratios = nil
	for _, c := range all {
		for _, cell := range r.Cells {
			own := r.find(c.rival, cell.Level)
			if cell.Name != c.name || c.rival == "" || own == nil || cell.Failed != "" || own.Failed != "" {
				continue
			}
			mmf, rival := own.Median, cell.Median
			x := ratio{
				Rival: c.name, Level: cell.Level, OwnName: own.Name, CPU: unknown,
				PerSaga: mmf.PerSecond / rival.PerSecond, Latency: float64(mmf.P50) / float64(rival.P50),
			}
			if a, b := mmf.cpu(), rival.cpu(); a > 0 && b > 0 {
				x.CPU = a / b
			}
			r.Ratios = append(r.Ratios, x)
		}
	}
}

// cpu of both sides per saga, in nanoseconds.
func (f figures) cpu() float64 { return float64(f.ClientCPU + max(0, f.ServerCPU)) }

func (r *results) ratio(rival string, level int) (ratio, bool) {
	for _, x := range r.Ratios {
		if x.Rival == rival && x.Level == level {
			return x, true
		}
	}
	return ratio{}, false
}

func (x ratio) line() string {
	return fmt.Sprintf("ratio mmf/%s in-flight=%d %.2f", x.Rival, x.Level, x.PerSaga)
}
