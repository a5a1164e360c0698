"""What is measured beyond one run: generators, classifiers, speed, cost."""
