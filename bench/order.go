package main

// order is the state of the saga. Every contender does the same to it, in three steps that cost nothing.
type order struct {
	ID      string
	Cents   int64
	Payment string
	Stock   string
	Parcel  string
}

// stepNames are the saga's steps.
var stepNames = [3]string{"authorise-payment", "reserve-stock", "book-courier"}

// doStep is what step n does; its result is what an engine must record.
func doStep(n int, o order) string {
	return [3]string{"payment-", "stock-", "parcel-"}[n] + o.ID
}

// fold puts the result of step n into the state.
func (o *order) fold(n int, result string) {
	*[3]*string{&o.Payment, &o.Stock, &o.Parcel}[n] = result
}

// finished is the state in which the saga must end.
func finished(o order) order {
	for n := range stepNames {
		o.fold(n, doStep(n, o))
	}
	return o
}
