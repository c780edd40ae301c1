# Recursive-ScaleNet of Table 3: pictures smaller than those of the training.
_base_ = './recursive-large_mnist.py'
model = dict(rule=dict(_delete_=True, type='RegressionRule', lower=0.99, top_k=0.15))
test_dataloader = dict(dataset=dict(sizes=(14, 16, 18, 8)))
