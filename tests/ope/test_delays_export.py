"""What an export says of late rewards, from the service that logged them to the estimate."""

import asyncio

import polars as pl
import pytest

from bandit.decide import DecisionRequest
from bandit.export import export_loop
from bandit.service.service import Service
from bandit.service.views import RewardRequest
from bandit.settings import LoopConfig
from ope.delays.asked import Delays
from ope.errors import InvalidLog
from ope.evaluate import evaluate_files
from ope.question import Question
from store.log.memory import MemoryStore
from store.records import SECOND
from tests.support import FakeClock
