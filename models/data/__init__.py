"""The real data that the scenes learn from: files that scikit-learn and statsmodels bring along."""
