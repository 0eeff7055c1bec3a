// How many wrong labels are left, and when to stop. estimate.py explains and tests these formulas.
"use strict";

const PRIOR_MEAN = [0, 0.8];
const PRIOR_PRECISION = [1 / 1.5 ** 2, 1 / 0.3 ** 2];
const [MIN_SLOPE, N_STEPS, MAX_STEP] = [0.1, 50, 1];
const NORMAL_80 = 1.2816;
const [MIN_DECISIONS, NEXT_ROWS, STOP_BELOW] = [20, 10, 1];

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

function inverse([p, q, r]) {
  // of the symmetric matrix [[p, q], [q, r]]
  const det = p * r - q * q;
  return [r / det, -q / det, p / det];
}

// Fit p(z) = sigmoid(a + b z) to the evidence z and the outcome of the rows with a decision.
function fitCurve(evidence, isWrong) {
  let [a, b] = PRIOR_MEAN;
  let covariance = null;
  for (let step = 0; step < N_STEPS; step++) {
    let [ga, gb] = [-PRIOR_PRECISION[0] * (a - PRIOR_MEAN[0]), -PRIOR_PRECISION[1] * (b - PRIOR_MEAN[1])];
    let [h00, h01, h11] = [PRIOR_PRECISION[0], 0, PRIOR_PRECISION[1]];
    evidence.forEach((z, i) => {
      const p = sigmoid(a + b * z);
      const [error, weight] = [(isWrong[i] ? 1 : 0) - p, p * (1 - p)];
      ga += error;
      gb += error * z;
      h00 += weight;
      h01 += weight * z;
      h11 += weight * z * z;
    });
    covariance = inverse([h00, h01, h11]);
    const [da, db] = [covariance[0] * ga + covariance[1] * gb, covariance[1] * ga + covariance[2] * gb];
    const factor = Math.min(1, MAX_STEP / Math.max(Math.hypot(da, db), 1e-12));
    a += da * factor;
    b += db * factor;
  }
  return { a, b: Math.max(b, MIN_SLOPE), covariance };
}

// Expected number of wrong labels among counts[i] rows with evidence[i], with an interval of 80%.
function leftWrong(fit, evidence, counts) {
  let [expected, sum, moment, n] = [0, 0, 0, 0];
  evidence.forEach((z, i) => {
    const p = sigmoid(fit.a + fit.b * z);
    expected += counts[i] * p;
    sum += counts[i] * p * (1 - p);
    moment += counts[i] * p * (1 - p) * z;
    n += counts[i];
  });
  const [caa, cab, cbb] = fit.covariance;
  const variance = sum + sum * sum * caa + 2 * sum * moment * cab + moment * moment * cbb;
  const deviation = NORMAL_80 * Math.sqrt(variance);
  return { expected, low: Math.max(expected - deviation, 0), high: Math.min(expected + deviation, n) };
}

// Whether the next rows are expected to hold less than one wrong label.
function mayStop(fit, evidence, nDecided) {
  const next = [...evidence].sort((x, y) => y - x).slice(0, NEXT_ROWS);
  const { expected } = leftWrong(fit, next, next.map(() => 1));
  return !next.length || (nDecided >= MIN_DECISIONS && expected < STOP_BELOW);
}

if (typeof module !== "undefined") module.exports = { fitCurve, leftWrong, mayStop };
