"""Models as judges of captions and responses: the rubric, what a judge is asked, what its reply means.

vlt.evaluation.judging makes versions with judgements, vlt.train.judge_reward rewards by them. The judge
that compares an answer with gold (`vlt eval --grader llm`) is another: vlt.evaluation.judge.
"""
