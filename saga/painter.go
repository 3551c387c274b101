package saga

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// painter writes the elements of a picture.
type painter struct {
	strings.Builder
	run  *overlay
	card int
}

func (p *painter) tag(format string, args ...any) {
	fmt.Fprintf(p, format, args...)
	p.WriteByte('\n')
}

func (p *painter) open(width, height int, title string) {
	p.tag(`<svg xmlns="http://www.w3.org/2000/svg" class="mmf-saga" role="img" width="%d" height="%d" viewBox="0 0 %d %d">`,
		width, height, width, height)
	p.tag("<title>%s</title>\n<style>%s</style>", xmlText(title), pictureStyle)
	p.tag(`<rect class="ground" width="%d" height="%d" rx="14"/>`, width, height)
}

func (p *painter) header(s *shape, width int) {
	p.tag(`<text class="title" x="%d" y="38">%s <tspan class="muted">version %d</tspan></text>`, marginX, xmlText(s.name), s.version)
	if p.run == nil {
		return
	}
	state := string(p.run.State)
	w := captionWidth(state) + 24
	x := width - marginX - w
	p.tag(`<g class="state %s"><rect x="%d" y="48" width="%d" height="22" rx="11"/><text x="%d" y="63">%s</text></g>`,
		stateMood(p.run.State), x, w, x+w/2, xmlText(state))
	p.tag(`<text class="caption" x="%d" y="63">%s</text>`, marginX, xmlText(fit(string(p.run.ID), width-2*marginX-w-12, captionWidth)))
}

func stateMood(s State) mood {
	switch s {
	case StateRunning:
		return moodWaiting
	case StateCompensating:
		return moodUndoing
	case StateParked:
		return moodParked
	case State(Completed):
		return moodDone
	case State(Compensated):
		return moodUndone
	default:
		return moodFailed
	}
}

// node draws a leaf, or the head of a fork.
func (p *painter) node(n *node, x, y int) {
	m, text := p.run.mood(n), caption(n)
	kind := nodeStyle(n)
	tip := n.name + ": " + text
	if n.kind == kindWhen {
		m, text, tip = moodNone, "", n.name
	} else if p.run != nil {
		text = p.run.says(n)
		if e := p.run.newestError(n); e != "" {
			tip += "\n" + e
		}
	}
	p.tag(`<g class="node %s %s"><title>%s</title>`, kind, m, xmlText(tip))
	name, width := fit(shownName(n), p.card-54, nameWidth), p.card
	if n.kind == kindWhen {
		p.tag(`<path class="card" d="M%d %dh%dl16 %dl-16 %dh-%dl-16 -%dz"/>`,
			x+16, y, width-32, cardHeight/2, cardHeight/2, width-32, cardHeight/2)
		p.tag(`<text class="name mid" x="%d" y="%d">%s</text></g>`, x+width/2, y+cardHeight/2+5, xmlText(name))
		return
	}
	round := 9
	if n.kind == kindAwait || n.kind == kindSleep {
		round = cardHeight / 2
	}
	p.tag(`<rect class="card" x="%d" y="%d" width="%d" height="%d" rx="%d"/>`, x, y, width, cardHeight, round)
	p.tag(`<circle class="badge" cx="%d" cy="%d" r="12"/>`, x+24, y+cardHeight/2)
	p.tag(`<path class="glyph" transform="translate(%d %d)" d="%s"/>`, x+24, y+cardHeight/2, glyph(n, m))
	p.tag(`<text class="name" x="%d" y="%d">%s</text>`, x+44, y+24, xmlText(name))
	p.tag(`<text class="caption" x="%d" y="%d">%s</text></g>`, x+44, y+41, xmlText(fit(text, width-52, captionWidth)))
}

func nodeStyle(n *node) string {
	switch {
	case n.class == pivot:
		return "k-pivot"
	case n.publishes:
		return "k-publish"
	default:
		return "k-" + n.kind.String()
	}
}

// edge is one step of the way forward, with the way back beside it where there is one.
func (p *painter) edge(x, from, to int, f flow) {
	p.tag(`<path class="way" d="M%d %dV%d"/><path class="tip" d="M%d %dl-4.5 -8h9z"/>`, x, from, to-6, x, to)
	p.back(x, from, to, f)
}

func (p *painter) back(x, from, to int, f flow) {
	if f.back() {
		p.tag(`<path class="undo" d="M%d %dV%d"/><path class="undotip" d="M%d %dl-4 7h8z"/>`, x-14, to-3, from+9, x-14, from+3)
	}
}

func (p *painter) line(x, from, to int) { p.tag(`<path class="way" d="M%d %dV%d"/>`, x, from, to) }

// way goes right from the head of a fork and down to what stands beside its axis.
func (p *painter) way(x, y, toX, toY int, arrow bool) {
	if !arrow {
		p.tag(`<path class="way" d="M%d %dH%dq10 0 10 10V%d"/>`, x, y, toX-10, toY)
		return
	}
	p.tag(`<path class="way" d="M%d %dH%dq10 0 10 10V%d"/><path class="tip" d="M%d %dl-4.5 -8h9z"/>`, x, y, toX-10, toY-6, toX, toY)
}

// merge leads from beside the axis back onto it.
func (p *painter) merge(x, y, toX, toY int) {
	p.tag(`<path class="way" d="M%d %dV%dq0 10 -10 10H%d"/><path class="tip" d="M%d %dl8 -4.5v9z"/>`, x, y, toY-10, toX+7, toX+1, toY)
}

func (p *painter) label(text string, x, y int) {
	p.tag(`<text class="label" x="%d" y="%d">%s</text>`, x, y, xmlText(text))
}

func (p *painter) bar(from, to, y int) {
	p.tag(`<path class="bar" d="M%d %dH%d"/>`, from-18, y, to+18)
}

// panel frames a group; its name sits on the upper left border, clear of the axis.
func (p *painter) panel(name, class string, x, y, width, height, axis int) {
	name = fit(name, max(axis-x-boldLabel, 30), captionWidth)
	p.tag(`<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="14"/>`, class, x, y, width, height)
	p.tag(`<text class="group" x="%d" y="%d">%s</text>`, x+14, y+22, xmlText(name))
}

func (p *painter) pivotLine(from, to, y int) {
	p.tag(`<path class="nopath" d="M%d %dH%d"/>`, from, y, to)
	p.tag(`<text class="noreturn" x="%d" y="%d">point of no return</text>`, to, y-7)
}

type legendEntry struct{ class, text string }

func legendEntries(o *overlay) []legendEntry {
	if o == nil {
		return []legendEntry{{"way", "forward"}, {"undo", "compensation"}}
	}
	var out []legendEntry
	for _, m := range moods() {
		if o.drawn[m] {
			out = append(out, legendEntry{string(m), string(m)})
		}
	}
	return out
}

func legendWidth(o *overlay) int {
	w := 0
	for _, e := range legendEntries(o) {
		w += captionWidth(e.text) + 42
	}
	return w
}

func (p *painter) legend(x, y int) {
	for _, e := range legendEntries(p.run) {
		if p.run == nil {
			p.tag(`<path class="%s" d="M%d %dh18"/>`, e.class, x, y-4)
		} else {
			p.tag(`<g class="node %s"><rect class="card" x="%d" y="%d" width="18" height="12" rx="3"/></g>`, e.class, x, y-10)
		}
		p.tag(`<text class="caption" x="%d" y="%d">%s</text>`, x+25, y, e.text)
		x += captionWidth(e.text) + 42
	}
}

// xmlText escapes s for text and attributes; characters that XML cannot hold become U+FFFD.
func xmlText(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

// nameWidth and captionWidth estimate how wide text is set, because a picture without a font file cannot measure it.
func nameWidth(s string) int { return textWidth(s, 86, 112, 150) }

func captionWidth(s string) int { return textWidth(s, 66, 90, 120) }

func textWidth(s string, normal, wide, full int) int {
	tenths := 0
	for _, r := range s {
		switch {
		case r >= 0x1100:
			tenths += full
		case r >= 'A' && r <= 'Z', r == 'm', r == 'w':
			tenths += wide
		default:
			tenths += normal
		}
	}
	return (tenths + 9) / 10
}

// fit shortens s to the width; the whole of it stands in the tooltip.
func fit(s string, width int, measure func(string) int) string {
	if measure(s) <= width {
		return s
	}
	runes := []rune(s)
	for len(runes) > 0 && measure(string(runes)+"…") > width {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}
