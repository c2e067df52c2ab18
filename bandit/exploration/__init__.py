"""Capped exploration: guards that map a distribution to a distribution before anything is sampled."""

from bandit.exploration.budget import BudgetConfig as BudgetConfig
from bandit.exploration.ceiling import CeilingConfig as CeilingConfig
from bandit.exploration.config import ExplorationConfig as ExplorationConfig
from bandit.exploration.conservative import ConservativeConfig as ConservativeConfig
from bandit.exploration.history import History as History
from bandit.exploration.history import Past as Past
from bandit.exploration.history import history_of as history_of
from bandit.exploration.kill_switch import only_baseline as only_baseline
from bandit.exploration.kill_switch import only_greedy as only_greedy
from bandit.exploration.limits import Known as Known
from bandit.exploration.limits import Limits as Limits
from bandit.exploration.limits import limits as limits
from bandit.exploration.limits import plain_limits as plain_limits
from bandit.exploration.limits import settled as settled
from bandit.exploration.limits import warm_up_guards as warm_up_guards
from bandit.exploration.plan import Arms as Arms
from bandit.exploration.plan import Floats as Floats
from bandit.exploration.plan import Guard as Guard
from bandit.exploration.plan import Marks as Marks
from bandit.exploration.plan import Plan as Plan
from bandit.exploration.projection import cap_and_floor as cap_and_floor
from bandit.exploration.projection import fill as fill
from bandit.exploration.schedule import ColdStart as ColdStart
from bandit.exploration.schedule import ScheduleEntry as ScheduleEntry
from bandit.exploration.value_guard import ValueGuardConfig as ValueGuardConfig
