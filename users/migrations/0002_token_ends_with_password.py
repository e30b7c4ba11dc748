import hashlib

from django.db import migrations, models


def fill(apps, schema_editor):
    """Let the tokens that there are end with their owners' present passwords."""
    tokens = apps.get_model('users', 'ApiToken').objects.using(schema_editor.connection.alias)
    for token in tokens.select_related('user').iterator():
        token.password_fingerprint = hashlib.sha256(token.user.password.encode()).hexdigest()
        token.save(update_fields=['password_fingerprint'])


class Migration(migrations.Migration):

    dependencies = [
        ('users', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='apitoken',
            name='password_fingerprint',
            field=models.CharField(db_default='', editable=False, max_length=64),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
