"""The shadow lane: a challenger runs beside what a champion answered, and answers nobody.

Workers send what they answered to a process of its own, which runs the challenger, compares,
records and counts. Whatever becomes of that process, no caller notices.
"""
