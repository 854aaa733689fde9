"""Models as judges of captions and responses: the rubric, the request, and the meaning of the reply.

vlt.evaluation.judging makes versions with judgements, vlt.train.judge_reward uses them as rewards. The judge
that compares an answer with the gold (`vlt eval --grader llm`) is separate: vlt.evaluation.judge.
"""
