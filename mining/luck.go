package mining

import "math"

// confidence is how much of chance an interval of expectation holds; half of the rest lies below it, half above.
const confidence = 0.95

// binomial is the interval of how many of n rounds are won, given their mean chance. Rounds of different chances scatter
// less than equal ones, so that the interval is never too narrow.
func binomial(n int64, chance float64) (low, high int64) {
	if n <= 0 || chance <= 0 {
		return 0, 0
	}
	if chance >= 1 {
		return n, n
	}
	mean := float64(n) * chance
	return interval(mean, math.Sqrt(mean*(1-chance)), n, func(k float64) float64 {
		return logChoose(float64(n), k) + k*math.Log(chance) + (float64(n)-k)*math.Log1p(-chance)
	})
}

// poisson is the interval of a sum of win counts of a given mean.
func poisson(mean float64) (low, high int64) {
	if mean <= 0 {
		return 0, 0
	}
	return interval(mean, math.Sqrt(mean), math.MaxInt64, func(k float64) float64 { return k*math.Log(mean) - mean - logFactorial(k) })
}

// interval sums a distribution, given by its logarithm, from where it is next to nothing.
func interval(mean, sigma float64, top int64, log func(k float64) float64) (low, high int64) {
	const tail = (1 - confidence) / 2
	first := int64(max(0, math.Floor(mean-10*sigma-10)))
	last := int64(math.Ceil(mean + 10*sigma + 20))
	low, high = -1, min(last, top)
	sum := 0.0
	for k := first; k <= min(last, top); k++ {
		sum += math.Exp(log(float64(k)))
		if low < 0 && sum > tail {
			low = k
		}
		if sum >= 1-tail {
			return low, k
		}
	}
	return max(low, 0), high
}

func logFactorial(k float64) float64 {
	v, _ := math.Lgamma(k + 1)
	return v
}

func logChoose(n, k float64) float64 { return logFactorial(n) - logFactorial(k) - logFactorial(n-k) }
