"""Templates: the past's rates, corrected by trees; the bonus for what was tried seldom is not in it."""

import numpy as np

from .parts import Trees, logit, sigmoid


class Template:
    def __init__(self, folder, spec):
        self.similar, self.alike, self.alike_weight = spec["similar"], spec["alike"], spec["alike_weight"]
        self.correction = spec["correction"]
        self.trees = self.correction and Trees(folder, self.correction["trees"])

    def predict(self, rows):
        def share(name, otherwise):
            return np.where((rows[name] >= 0) & (rows[name] <= 1), rows[name], otherwise)

        margin = logit(share(self.similar, 0.5)) + self.alike_weight * share(self.alike, 0.0)
        if self.correction:
            learned = self.trees.margin(rows) - self.correction["centre"]
            margin = self.correction["scaling"]["slope"] * (margin + self.correction["share"] * learned)
        return sigmoid(margin)[:, None]
