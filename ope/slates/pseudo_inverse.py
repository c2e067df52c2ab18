"""The weights of the pseudo-inverse estimator where slots depend on one another, for the column `pi_weight`.

A slate of L slots over m actions is the indicator 1_s in R^{L·m}; w = qᵀ Γ† 1_s with Γ = E[1_s 1_sᵀ] under the logging
policy and q the target's slot marginals (Swaminathan et al. 2017). With independent slots w is 1 − L + Σ_l w_l.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


def pseudo_inverse_weight(pairs: Floats, target: Floats, shown: Places) -> float:
    """Return the weight of one slate, whatever the logging policy.

    `pairs`, shape (L, m, L, m), is how likely an action stands in a slot and another in another; its diagonal are the
    slot marginals. `target`, shape (L, m), holds the target's marginals, and `shown`, shape (L,), the actions' indices.
    """
    slots, actions = target.shape
    gamma = pairs.reshape(slots * actions, slots * actions)
    slate = np.zeros((slots, actions))
    slate[np.arange(slots), shown] = 1
    return float(target.ravel() @ np.linalg.pinv(gamma, hermitian=True) @ slate.ravel())


def uniform_weight(target: Floats, shown: Places) -> float:
    """Return the weight of one slate that was drawn uniformly without replacement, in closed form.

    Γ is then invariant under permutations of slots and of actions, so its eigenspaces are known: with A the target's
    expected number of shown actions and B = Σ_l q(l, s_l) the expected number in their own slots,

        w = 1 + m (m − 1)/(m − L) · (A − L²/m)/L + (m − 1) (B − A/L),

    without the second summand where L = m, which shows every action.
    """
    slots, actions = target.shape
    own = float(target[np.arange(slots), shown].sum())
    anywhere = float(target[:, shown].sum())
    weight: float = 1 + (actions - 1) * (own - anywhere / slots)
    if actions > slots:
        weight += actions * (actions - 1) / (actions - slots) * (anywhere - slots**2 / actions) / slots
    return weight
