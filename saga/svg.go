package saga

import "fmt"

// SVG draws the definition as a picture that stands alone: top to bottom in the order of running, parallel lanes side by
// side, the other branch of a condition and the deadline of an await on the right, dashed arrows for the way back and a
// line at the point of no return. It follows the reader's light or dark setting, uses no script, no font file and no
// identifiers, so that several may stand in one page. Equal definitions give equal bytes; names are escaped.
func (s *shape) SVG() string { return s.svg(nil) }

// SVGOf draws the same picture of one run: each step in the colour of its status, with its failed attempts, and its newest
// error as a tooltip. A step that the status does not name, because it is of another version, is drawn as pending.
func (s *shape) SVGOf(run Status) string { return s.svg(newOverlay(s, run)) }

const (
	cardHeight  = 54
	gapHeight   = 34
	pivotGap    = 62
	laneGap     = 28
	boldLabel   = 70 // what the label of a frame needs besides its text
	panelPad    = 20
	panelHead   = 36
	marginX     = 32
	headHeight  = 92
	legendSpace = 56
)

// box is a laid-out part of the picture. The flow enters at the top and leaves at the bottom of its axis.
type box struct {
	width, height, axis int
	draw                func(p *painter, x, y int)
}

// flow is what holds between two nodes: whether anything before would be compensated, and whether the pivot is behind.
type flow struct{ undo, past bool }

func (f flow) back() bool { return f.undo && !f.past }

func (f flow) or(g flow) flow { return flow{f.undo || g.undo, f.past || g.past} }

type layout struct {
	card int // width of every card
	run  *overlay
}

func (s *shape) svg(o *overlay) string {
	l := &layout{run: o, card: 190}
	for _, n := range s.nodes[1:] {
		text := caption(n)
		if o != nil {
			text = o.says(n)
		}
		l.card = max(l.card, nameWidth(shownName(n))+64, captionWidth(text)+64)
	}
	l.card = min(l.card, 300)
	body, _ := l.list(s.root.children, flow{})
	title := fmt.Sprintf("%s, version %d", s.name, s.version)
	legendWidth := legendWidth(o)
	head := nameWidth(s.name)*5/4 + 110
	if o != nil {
		head = max(head, nameWidth(string(o.ID))+captionWidth(string(o.State))+60)
	}
	width := max(body.width, legendWidth, head, 260) + 2*marginX
	x, top := (width-body.width)/2, headHeight
	axis := x + body.axis
	height := top + gapHeight + body.height + gapHeight + 16 + legendSpace
	p := &painter{run: o, card: l.card}
	p.open(width, height, title)
	p.header(s, width)
	p.tag(`<circle class="start" cx="%d" cy="%d" r="6"/>`, axis, top-7)
	p.edge(axis, top, top+gapHeight, flow{})
	body.draw(p, x, top+gapHeight)
	end := top + gapHeight + body.height + gapHeight
	p.edge(axis, end-gapHeight, end, flow{})
	p.tag(`<circle class="ring" cx="%d" cy="%d" r="8"/><circle class="start" cx="%d" cy="%d" r="4"/>`, axis, end+8, axis, end+8)
	p.legend((width-legendWidth)/2, height-24)
	p.WriteString("</svg>\n")
	return p.String()
}

// list stacks nodes above each other on one axis.
func (l *layout) list(nodes []*node, in flow) (box, flow) {
	type placed struct {
		box
		after flow
		pivot bool
	}
	var parts []placed
	left, right, height := 0, 0, 0
	for i, n := range nodes {
		b, out := l.node(n, in)
		parts = append(parts, placed{b, out, n.class == pivot})
		left, right = max(left, b.axis), max(right, b.width-b.axis)
		height += b.height
		if n.class == pivot {
			left, right = max(left, 150), max(right, 150) // room for the words at the line
			height += pivotGap
		} else if i < len(nodes)-1 {
			height += gapHeight
		}
		in = out
	}
	draw := func(p *painter, x, y int) {
		for i, b := range parts {
			b.draw(p, x+left-b.axis, y)
			y += b.height
			last := i == len(parts)-1
			switch {
			case b.pivot && last:
				p.line(x+left, y, y+pivotGap)
			case b.pivot:
				p.edge(x+left, y, y+pivotGap, b.after)
			case !last:
				p.edge(x+left, y, y+gapHeight, b.after)
			}
			if b.pivot {
				p.pivotLine(x, x+left+right, y+pivotGap/2)
				y += pivotGap
			} else {
				y += gapHeight
			}
		}
	}
	return box{left + right, height, left, draw}, in
}

func (l *layout) node(n *node, in flow) (box, flow) {
	switch {
	case n.kind == kindSequence, n.kind == kindEach, n.kind == kindChild:
		return l.sequence(n, in)
	case n.kind == kindParallel:
		return l.parallel(n, in)
	case n.kind == kindWhen, n.kind == kindAwait && len(n.children) > 0:
		return l.fork(n, in)
	}
	out := flow{in.undo || n.undo != nil, in.past || n.class == pivot}
	return box{l.card, cardHeight, l.card / 2, func(p *painter, x, y int) { p.node(n, x, y) }}, out
}

// sequence frames its nodes, because its name says what they are together. What the frame of an each or a child says is longer
// than a name: it is as wide as that needs beside the axis.
func (l *layout) sequence(n *node, in flow) (box, flow) {
	inner, out := l.list(n.children, in)
	left, right, label := panelPad, panelPad, groupLabel(n)
	if n.open != nil {
		left = max(left, min(captionWidth(label), 2*l.card)+boldLabel-inner.axis)
	}
	width, axis := left+inner.width+right, left+inner.axis
	return box{
		width, inner.height + 2*panelHead, axis,
		func(p *painter, x, y int) {
			bottom := y + inner.height + 2*panelHead
			p.panel(label, "frame", x, y, width, bottom-y, x+axis)
			p.edge(x+axis, y, y+panelHead, in)
			inner.draw(p, x+left, y+panelHead)
			p.line(x+axis, bottom-panelHead, bottom)
			p.back(x+axis, bottom-panelHead, bottom, out)
		},
	}, out
}

// parallel sets its lanes side by side between two bars.
func (l *layout) parallel(n *node, in flow) (box, flow) {
	var lanes []box
	var after []flow
	out := in
	width, height := 2*panelPad, 0
	for i, c := range n.children {
		b, f := l.node(c, in)
		lanes, after, out = append(lanes, b), append(after, f), out.or(f)
		width += b.width
		if i > 0 {
			width += laneGap
		}
		height = max(height, b.height)
	}
	height += 2 * panelHead
	first, last := 0, 0
	if k := len(lanes) - 1; k >= 0 {
		first, last = panelPad+lanes[0].axis, width-panelPad-lanes[k].width+lanes[k].axis
	}
	axis := (first + last) / 2
	return box{width, height, axis, func(p *painter, x, y int) {
		p.panel(shownName(n), "panel", x, y, width, height, x+axis)
		lx := x + panelPad
		for i, b := range lanes {
			p.edge(lx+b.axis, y, y+panelHead, in)
			b.draw(p, lx, y+panelHead)
			p.edge(lx+b.axis, y+panelHead+b.height, y+height, after[i])
			lx += b.width + laneGap
		}
		p.bar(x+first, x+last, y)
		p.bar(x+first, x+last, y+height)
	}}, out
}

// fork draws what has a main way down its axis and another one beside it: a condition, an await with a deadline's nodes.
func (l *layout) fork(n *node, in flow) (box, flow) {
	mainNodes, sideNodes, mainLabel, sideLabel := n.children, n.otherwise, "yes", "no"
	if n.kind == kindAwait {
		mainNodes, sideNodes, mainLabel, sideLabel = nil, n.children, "", "after "+shortDuration(n.within)
	}
	body, mainOut := l.list(mainNodes, in)
	side, sideOut := l.list(sideNodes, in)
	left, right := max(l.card/2, body.axis), max(l.card/2, body.width-body.axis)
	sideX := left + right + laneGap
	if len(sideNodes) == 0 {
		side.width, side.axis, sideX = 8, 4, left+right+12
	}
	inner := max(body.height, side.height)
	height := cardHeight + gapHeight + inner + gapHeight
	return box{sideX + side.width, height, left, func(p *painter, x, y int) {
		axis, sideAxis := x+left, x+sideX+side.axis
		top, bottom := y+cardHeight+gapHeight, y+height
		p.way(axis+l.card/2, y+cardHeight/2, sideAxis, top, len(sideNodes) > 0)
		p.node(n, axis-l.card/2, y)
		p.label(sideLabel, axis+l.card/2+6, y+cardHeight/2-6)
		if len(mainNodes) > 0 {
			p.edge(axis, y+cardHeight, top, in)
			p.label(mainLabel, axis+7, y+cardHeight+gapHeight/2)
			body.draw(p, axis-body.axis, top)
			p.line(axis, top+body.height, bottom)
			p.back(axis, top+body.height, bottom, mainOut)
		} else {
			p.line(axis, y+cardHeight, bottom)
		}
		side.draw(p, x+sideX, top)
		p.merge(sideAxis, top+side.height, axis, bottom-gapHeight/2+4)
	}}, mainOut.or(sideOut)
}
