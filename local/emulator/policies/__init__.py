"""IAM's policy language: documents, matching, conditions and decisions; no AWS behind them.

The rules are those of https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies.html.
What they leave undecided denies: an Allow that cannot be evaluated does not match, a Deny that
cannot be evaluated does. Truth is therefore three-valued here: `None` stands for undecidable.

document
    Reads a document into statements, and says what AWS would call malformed.
matching
    Wildcards and policy variables.
conditions
    Condition operators.
evaluation
    Principals, statements, and the decision of several policies together.
"""
