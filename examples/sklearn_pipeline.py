"""AL as an estimator of scikit-learn: a pipeline, a search over settings, a cross-validation."""

from __future__ import annotations

from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from associated_learning.training.adapters.sklearn import ALClassifier

X, y = load_wine(return_X_y=True)
pipeline = make_pipeline(MinMaxScaler(), ALClassifier((32, 32), epochs=15, random_state=0))
search = GridSearchCV(pipeline, {"alclassifier__lr": [1e-5, 5e-3]}, cv=2)
search.fit(X, y)
print(f"best: {search.best_params_}")

for score in cross_val_score(search.best_estimator_, X, y, cv=3):
    print(f"test accuracy {score:.3f}")
