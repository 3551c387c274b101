package saga

// glyph is the drawing in a card's badge, around 0,0: what kind of step it is, or in a run how it stands.
func glyph(n *node, m mood) string {
	switch m {
	case moodDone:
		return "M-5 0l3.5 3.8l6.5 -7.6"
	case moodWaiting:
		return "M0 -5V0l3.5 2.5"
	case moodRetrying:
		return "M4.6 -2A5 5 0 1 0 4.6 2M5.5 -5.5V-1.8H1.8"
	case moodFailed:
		return "M-4 -4L4 4M4 -4L-4 4"
	case moodUndone, moodUndoing:
		return "M-2 -6l-3.5 3.5l3.5 3.5M-5 -2.5H1.5a3.7 3.7 0 0 1 0 7.5H-2"
	case moodParked:
		return "M0 -5.5V1M0 4.6V5"
	case moodPending:
		return "M-3.5 0h.1M0 0h.1M3.5 0h.1"
	}
	switch {
	case n.class == pivot:
		return "M-4 5V-5.5L5 -2.5L-4 .5"
	case n.publishes:
		return "M-5 2V-2L3 -5.5V5.5L-5 2M-2.5 3.4V6"
	case n.kind == kindTx:
		return "M-5 -3.5C-5 -6 5 -6 5 -3.5V3.5C5 6 -5 6 -5 3.5ZM-5 -3.5C-5 -1 5 -1 5 -3.5"
	case n.kind == kindRemote:
		return "M-5.5 -2.5H5M2.2 -5.3L5 -2.5L2.2 .3M5.5 3.5H-3"
	case n.kind == kindAwait:
		return "M-4 -5.5H4M-4 5.5H4M-3 -5.5C-3 -1 3 1 3 5.5M3 -5.5C3 -1 -3 1 -3 5.5"
	case n.kind == kindSleep:
		return "M0 -5V0l3.5 2.5"
	default:
		return "M-3 -5L5 0L-3 5Z"
	}
}

// pictureStyle keeps all colours in variables, once for light and once for dark. Everything is scoped to the picture's class.
const pictureStyle = `
.mmf-saga{--ground:#fcfcfd;--card:#fff;--rim:#d3d9e4;--text:#182033;--muted:#667085;--way:#8e99ad;--panel:#f3f5f9;--undo:#d9730d;--pivot:#d6336c;
--step:#4361d8;--tx:#0b8577;--remote:#7a4fd6;--publish:#0e7fb8;--wait:#a1660a;--ok:#2b8a3e;--okc:#e9f9ec;--now:#1971c2;--nowc:#e4f2fe;
--try:#c96a00;--tryc:#fff5d9;--bad:#c92a2a;--badc:#ffecec;--took:#862e9c;--tookc:#f9ecfc;--on:#fff;
font-family:system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
@media (prefers-color-scheme:dark){.mmf-saga{--ground:#10141d;--card:#1a202c;--rim:#394356;--text:#e8ecf4;--muted:#98a4b9;--way:#67748c;
--panel:#151a25;--undo:#f59f4a;--pivot:#f06595;--step:#7c93f5;--tx:#38c5b3;--remote:#ab8df5;--publish:#4db6e8;--wait:#e0a84a;
--ok:#51cf66;--okc:#13291b;--now:#4dabf7;
--nowc:#11273b;--try:#fcb545;--tryc:#2f2410;--bad:#ff7b7b;--badc:#351a1d;--took:#d58be8;--tookc:#2a1a31;--on:#10141d}}
.mmf-saga .ground{fill:var(--ground)}
.mmf-saga text{fill:var(--text)}
.mmf-saga .title{font-size:18px;font-weight:650}
.mmf-saga .muted{fill:var(--muted);font-size:13px;font-weight:400}
.mmf-saga .name{font-size:14px;font-weight:600}
.mmf-saga .mid{text-anchor:middle}
.mmf-saga .caption{font-size:11.5px;fill:var(--muted)}
.mmf-saga .label,.mmf-saga .group{font-size:11.5px;font-weight:600;fill:var(--muted)}
.mmf-saga .card{fill:var(--card);stroke:var(--rim);stroke-width:1.25}
.mmf-saga .node{--c:var(--step)}
.mmf-saga .k-tx-step{--c:var(--tx)}
.mmf-saga .k-remote{--c:var(--remote)}
.mmf-saga .k-publish{--c:var(--publish)}
.mmf-saga .k-await,.mmf-saga .k-sleep,.mmf-saga .k-when{--c:var(--wait)}
.mmf-saga .k-when .card{stroke:var(--c)}
.mmf-saga .k-pivot{--c:var(--pivot)}
.mmf-saga .k-pivot .card{stroke:var(--pivot);stroke-width:2}
.mmf-saga .badge{fill:var(--c);fill-opacity:.14}
.mmf-saga .glyph{fill:none;stroke:var(--c);stroke-width:1.7;stroke-linecap:round;stroke-linejoin:round}
.mmf-saga .way{fill:none;stroke:var(--way);stroke-width:1.6}
.mmf-saga .tip,.mmf-saga .start{fill:var(--way)}
.mmf-saga .ring{fill:none;stroke:var(--way);stroke-width:1.6}
.mmf-saga .bar{stroke:var(--way);stroke-width:4;stroke-linecap:round}
.mmf-saga .undo{fill:none;stroke:var(--undo);stroke-width:1.4;stroke-dasharray:4 3}
.mmf-saga .undotip{fill:var(--undo)}
.mmf-saga .panel{fill:var(--panel);stroke:var(--rim)}
.mmf-saga .frame{fill:none;stroke:var(--rim);stroke-dasharray:5 4}
.mmf-saga .nopath{stroke:var(--pivot);stroke-width:1.4;stroke-dasharray:9 4 2 4}
.mmf-saga .noreturn{font-size:11px;font-weight:600;fill:var(--pivot);text-anchor:end}
.mmf-saga .pending{--c:var(--muted)}
.mmf-saga .pending .card{stroke:var(--rim);stroke-width:1.25;stroke-dasharray:4 3}
.mmf-saga .pending .name{fill:var(--muted)}
.mmf-saga .done{--c:var(--ok);--f:var(--okc)}
.mmf-saga .waiting{--c:var(--now);--f:var(--nowc)}
.mmf-saga .retrying{--c:var(--try);--f:var(--tryc)}
.mmf-saga .failed{--c:var(--bad);--f:var(--badc)}
.mmf-saga .undoing,.mmf-saga .undone{--c:var(--took);--f:var(--tookc)}
.mmf-saga .parked{--c:var(--bad);--f:var(--badc)}
.mmf-saga .done .card,.mmf-saga .waiting .card,.mmf-saga .retrying .card,.mmf-saga .failed .card,.mmf-saga .undone .card,.mmf-saga .undoing .card,
.mmf-saga .parked .card{fill:var(--f);stroke:var(--c);stroke-width:1.5}
.mmf-saga .undoing .card{stroke-dasharray:5 3}
.mmf-saga .parked .card{stroke-width:3}
.mmf-saga .state rect{fill:var(--c)}
.mmf-saga .state text{font-size:11.5px;font-weight:600;fill:var(--on);text-anchor:middle}
`
